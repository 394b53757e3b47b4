"""Layouts: what they promise, a new one in one file, and boxes in one COCO file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from stand_ins import no_report

from detection.datasets import M3FD_CLASSES, coco_ground_truth
from fusion.errors import InputError
from pipelines.cli.app import main
from pipelines.datasets import layouts
from pipelines.datasets.inspection import Inspection, inspect
from pipelines.datasets.labels import boxes_of
from pipelines.datasets.opening import expected_tree, open_dataset
from pipelines.planning.planner import make_plan
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.layout import layout_names, layout_of
from pipelines.specs.loading import load_experiment
from pipelines.store.files import FileDigests
from pipelines.store.store import Store
from pipelines.tasks.task import tasks


@pytest.mark.parametrize("name", layout_names())
def test_a_layout_is_whole(name: str) -> None:
    layout = layout_of(name)
    labelled = (layout.task, layout.labels, layout.find, layout.read)
    assert all(labelled) or not any(labelled)
    assert ("{split}" in layout.infrared) == ("{split}" in layout.visible)


# A layout that the project does not know: one file.

CORNERS = '''"""Boxes as lines of a text file that ends in .corners: class and four edges."""

from detection.datasets import Annotation, Box, fit_box, label_of
from pipelines.datasets.labels import files_ending, one_image_a_file
from pipelines.specs.layout import Layout


def read(path, classes, size):
    boxes = []
    for line in path.read_text().splitlines():
        name, *edges = line.split()
        box = Box(label_of(name, classes, str(path)), *map(float, edges))
        boxes.append(fit_box(box, size, str(path)))
    return Annotation(*size, tuple(boxes))


LAYOUT = Layout(
    infrared="Ir",
    visible="Vis",
    labels="Corners",
    label_files="*.corners",
    task="detection",
    classes=("thing", "other"),
    find=files_ending(".corners"),
    read=one_image_a_file(read),
)
'''


@pytest.fixture
def corners(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A dataset of the new layout, whose one file lies in a folder beside the project's own."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "corners.py").write_text(CORNERS)
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path / "more")])
    (scenes / "m3fd" / "Corners").mkdir()
    for path in (scenes / "m3fd" / "Ir").iterdir():
        text = "other 10 20 30.5 40\nthing 1 1 9 9\n"
        (scenes / "m3fd" / "Corners" / f"{path.stem}.corners").write_text(text)
    yield scenes / "m3fd"
    layout_of.cache_clear()
    sys.modules.pop("pipelines.datasets.layouts.corners", None)


def test_a_new_layout_is_one_file(
    corners: Path,
    tmp_path: Path,
    session_store: Path,
    write_experiment: Callable[..., Path],
    shared_worker: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = {"name": "mine", "layout": "corners", "root": str(corners)}
    spec = DatasetSpec.model_validate(data)
    assert (spec.classes, spec.task) == (("thing", "other"), "detection")
    assert "Corners/*.corners" in expected_tree(spec)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data))
    store = ["--store", str(session_store)]
    assert main(["data", "verify", str(tmp_path / "mine.yaml"), *store]) == 0
    out = capsys.readouterr().out
    assert "mine: 12 pairs, layout corners" in out
    assert "thing " in out
    assert "0 problems" in out
    split = ["--out", str(tmp_path / "split.yaml"), *store]
    assert main(["data", "split", str(tmp_path / "mine.yaml"), *split]) == 0
    detection = {"dataset": data, "model": "yolov5n", "image_size": 96, "epochs": 1}
    path = write_experiment(detection=detection, segmentation=None)
    opened = Store(session_store)
    plan = make_plan(load_experiment(str(path)), opened, tasks(), no_report, shared_worker.start)
    assert (plan.blocked, len(plan.cells)) == ((), 1)
    index = plan.cells[0].result.inputs["index"]
    found = json.loads((opened.directory(index) / "index.json").read_text())
    rows = [[1, 10.0, 20.0, 30.5, 40.0], [0, 1.0, 1.0, 9.0, 9.0]]
    assert [entry["boxes"] for entry in found.values()] == [rows] * 12


def test_problems_of_a_new_layout_are_told_like_all_others(corners: Path) -> None:
    spec = DatasetSpec.model_validate({"name": "mine", "layout": "corners", "root": str(corners)})
    path = sorted((corners / "Corners").iterdir())[3]
    path.write_text("thin 1 1 9 9")
    (problem,) = inspect(open_dataset(spec)).problems
    assert problem.startswith(f'{path} has the unknown class "thin". Did you mean "thing"?')
    path.unlink()
    with pytest.raises(InputError, match=rf"has no label for {path.stem} \(1 of 12 are missing\)"):
        open_dataset(spec)


# COCO: all boxes in one JSON file.

Coco = dict[str, Any]


@pytest.fixture
def truth(scenes_root: Path) -> Coco:
    """The boxes of the drawn scenes as COCO has them, with ids that are no list positions."""
    root = scenes_root / "m3fd"
    spec = DatasetSpec.model_validate({"name": "boxes", "layout": "m3fd", "root": str(root)})
    made = coco_ground_truth(boxes_of(inspect(open_dataset(spec)).index), M3FD_CLASSES)
    for image in made["images"]:
        image["file_name"] = f"some/folder/{image['file_name']}.jpg"
        image["id"] = f"image-{image['id']}"
    for category in made["categories"]:
        category["id"] = 100 - category["id"]
    for entry in made["annotations"]:
        entry["image_id"] = f"image-{entry['image_id']}"
        entry["category_id"] = 100 - entry["category_id"]
        entry["id"] += 7000
    return made


def coco_spec(root: Path, **changes: Any) -> DatasetSpec:
    data = {"name": "coco", "layout": "coco", "root": str(root), "classes": M3FD_CLASSES}
    return DatasetSpec.model_validate({**data, "infrared": "Ir", "visible": "Vis", **changes})


@pytest.fixture
def look(scenes: Path) -> Callable[[Coco], Inspection]:
    """Return a function that writes the file, opens the dataset and looks through it."""

    def run(data: Coco) -> Inspection:
        (scenes / "m3fd" / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
        return inspect(open_dataset(coco_spec(scenes / "m3fd")))

    return run


def test_coco_and_voc_hold_the_same_boxes(
    scenes_root: Path, look: Callable[[Coco], Inspection], truth: Coco
) -> None:
    root = scenes_root / "m3fd"
    spec = DatasetSpec.model_validate({"name": "boxes", "layout": "m3fd", "root": str(root)})
    voc, coco = inspect(open_dataset(spec)), look(truth)
    assert coco.problems == []
    assert coco.index == voc.index
    assert coco.histogram == voc.histogram
    assert sum(len(entry["boxes"]) for entry in coco.index.values()) == len(truth["annotations"])


def test_the_order_in_a_coco_file_does_not_matter(
    look: Callable[[Coco], Inspection], truth: Coco
) -> None:
    before = look(truth).index
    for key in ("images", "categories"):
        truth[key].reverse()
    assert look(truth).index == before
    truth["annotations"].reverse()
    after = look(truth).index
    assert {name: sorted(entry["boxes"]) for name, entry in after.items()} == {
        name: sorted(entry["boxes"]) for name, entry in before.items()
    }


def test_classes_say_the_order_of_categories(scenes: Path, truth: Coco) -> None:
    (scenes / "m3fd" / "annotations.json").write_text(json.dumps(truth))
    names = tuple(reversed(M3FD_CLASSES))
    turned = inspect(open_dataset(coco_spec(scenes / "m3fd", classes=names)))
    plain = inspect(open_dataset(coco_spec(scenes / "m3fd")))
    for name, entry in turned.index.items():
        rows = [[5 - label, *edges] for label, *edges in entry["boxes"]]
        assert rows == plain.index[name]["boxes"]
    assert turned.histogram == plain.histogram


def test_a_coco_dataset_may_come_split(scenes: Path, tmp_path: Path, truth: Coco) -> None:
    folders = {"infrared": "{split}/ir", "visible": "{split}/vi", "labels": "{split}.json"}
    spec = coco_spec(scenes / "msrs", **folders)
    assert "    train.json\n" in expected_tree(spec)
    with pytest.raises(InputError, match=r"has no file .*/train\.json; put it there or name the"):
        open_dataset(spec)
    for split in ("train", "test"):
        (scenes / "msrs" / f"{split}.json").write_text(json.dumps(truth))
    dataset = open_dataset(spec)
    assert {split: len(names) for split, names in dataset.splits.items()} == {"train": 8, "test": 4}
    assert {dataset.labels[name].name for name in dataset.test} == {"test.json"}
    assert inspect(dataset).problems == []
    known = FileDigests(tmp_path / "db.sqlite")
    before = dataset.labels_digest(known)
    (scenes / "msrs" / "test.json").write_text(json.dumps(truth, indent=1))
    assert open_dataset(spec).labels_digest(known) != before


def first(key: str, **changes: Any) -> Callable[[Coco], Any]:
    return lambda data: data[key][0].update(changes)


def without(key: str, field: str) -> Callable[[Coco], Any]:
    return lambda data: data[key][0].pop(field)


AT_ONCE = [
    (lambda d: d.pop("images"), 'has no list of objects "images"; export it as COCO JSON'),
    (lambda d: d.update(annotations={}), 'has no list of objects "annotations"'),
    (lambda d: d["categories"].append("Car"), 'has no list of objects "categories"'),
    (without("images", "id"), 'number 1 of "images" has the id null'),
    (first("images", id=[1]), 'number 1 of "images" has the id [1]; give it a number or a text'),
    (first("images", id="image-2"), 'image "image-2" has the id or the name ('),
    (without("images", "file_name"), 'image "image-1" has the file_name null; write the name'),
    (first("images", file_name=""), 'image "image-1" has the file_name ""; write the name'),
    (lambda d: d["images"].append({**d["images"][0], "id": 9}), "image 9 has the id or the name"),
    (first("annotations", image_id="7"), 'annotation 7001 has the image_id "7", which no image'),
    (first("annotations", image_id={}), "annotation 7001 has the image_id {}, which no image"),
    (without("categories", "name"), "category 99 has no name or the id of another"),
    (first("categories", id=98), "category 98 has no name or the id of another"),
    (lambda d: d["images"].pop(0), "which no image has; correct or remove it."),
]


@pytest.mark.parametrize(("change", "message"), AT_ONCE)
def test_a_coco_file_that_makes_no_sense_is_told_with_its_ids(
    change: Callable[[Coco], Any],
    message: str,
    scenes: Path,
    look: Callable[[Coco], Inspection],
    truth: Coco,
) -> None:
    change(truth)
    with pytest.raises(InputError) as caught:
        look(truth)
    assert str(caught.value).startswith(str(scenes / "m3fd" / "annotations.json"))
    assert message in str(caught.value)


ONE_BY_ONE = [
    (first("annotations", iscrowd=1), 'is marked "iscrowd": it stands for no single object'),
    (first("annotations", ignore=True), 'is marked "ignore": it stands for no single object'),
    (first("annotations", category_id=1), "has the category_id 1, which no category has"),
    (first("annotations", category_id=None), "has the category_id null, which no category has"),
    (without("annotations", "bbox"), "has the bbox null; write four numbers"),
    (first("annotations", bbox=[1, 2, "3", 4]), 'has the bbox [1, 2, "3", 4]; write four'),
    (first("annotations", bbox=[1, 2, True, 4]), "has the bbox [1, 2, true, 4]; write four"),
    (first("annotations", bbox=[1, 2, float("nan"), 4]), "has the bbox [1, 2, NaN, 4]"),
    (first("annotations", bbox=[1, 2, 10**400, 4]), "has the bbox [1, 2, 10000"),
    (first("annotations", bbox=[1, 2, 0, 4]), "has a box without area (x1=1 y1=2 x2=1 y2=6)"),
    (first("annotations", bbox=[90, 2, 50, 4]), "outside its image of 96x96 pixels"),
]


@pytest.mark.parametrize(("change", "message"), ONE_BY_ONE)
def test_a_wrong_annotation_is_told_with_its_id(
    change: Callable[[Coco], Any],
    message: str,
    scenes: Path,
    look: Callable[[Coco], Inspection],
    truth: Coco,
) -> None:
    change(truth)
    (problem,) = look(truth).problems
    assert problem.startswith(f"{scenes / 'm3fd' / 'annotations.json'}: annotation 7001 ")
    assert message in problem


@pytest.mark.parametrize(("changes", "shown"), [({"width": 95}, "95x96"), ({"height": "x"}, "96x")])
def test_the_size_of_an_image_is_checked(
    changes: Coco, shown: str, look: Callable[[Coco], Inspection], truth: Coco
) -> None:
    truth["images"][2].update(changes)
    (problem,) = look(truth).problems
    assert f'annotations.json: image "image-3" declares {shown}' in problem
    assert "but the image is 96x96; the boxes would be misplaced" in problem


def test_an_unknown_category_is_told(look: Callable[[Coco], Inspection], truth: Coco) -> None:
    used = truth["annotations"][0]["category_id"]
    for category in truth["categories"]:
        if category["id"] == used:
            category["name"] = "Carr"
    found = look(truth)
    assert 'annotation 7001 has the unknown class "Carr". Did you mean "Car"?' in found.problems[0]


@pytest.mark.parametrize(
    "text", ["{", "\udcff", "[" * 100_000, '{"images": [], "annotations": ' + "9" * 5000 + "}"]
)
def test_what_is_no_json_is_told(text: str, scenes: Path) -> None:
    path = scenes / "m3fd" / "annotations.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=r"annotations\.json is not a readable JSON file \("):
        open_dataset(coco_spec(scenes / "m3fd"))


def test_an_image_without_objects_must_still_be_listed(
    scenes: Path, look: Callable[[Coco], Inspection], truth: Coco
) -> None:
    gone = truth["images"][0]["id"]
    truth["annotations"] = [e for e in truth["annotations"] if e["image_id"] != gone]
    found = look(truth)
    assert found.problems == []
    name = truth["images"].pop(0)["file_name"].rpartition("/")[2].removesuffix(".jpg")
    assert found.index[name]["boxes"] == []
    with pytest.raises(InputError, match=rf"no label for {name} .*as one that no annotation names"):
        look(truth)
