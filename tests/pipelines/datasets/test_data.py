from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from fusion.errors import InputError
from fusion.pairs import write_png
from pipelines.datasets.inspection import inspect
from pipelines.datasets.labels import boxes_of
from pipelines.datasets.opening import open_dataset
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.files import FileDigests


def boxes_spec(root: Path, **changes: Any) -> DatasetSpec:
    split = {"file": str(root / "m3fd" / "split.yaml")}
    data = {"name": "boxes", "layout": "m3fd", "root": str(root / "m3fd"), "split": split}
    return DatasetSpec.model_validate({**data, **changes})


def masks_spec(root: Path, **changes: Any) -> DatasetSpec:
    data = {"name": "masks", "layout": "msrs", "root": str(root / "msrs"), **changes}
    return DatasetSpec.model_validate(data)


def test_both_layouts_hold_the_same_pairs_and_splits(scenes_root: Path) -> None:
    boxes, masks = open_dataset(boxes_spec(scenes_root)), open_dataset(masks_spec(scenes_root))
    assert boxes.pairs.keys() == masks.pairs.keys()
    assert {k: sorted(v) for k, v in boxes.splits.items()} == {
        k: sorted(v) for k, v in masks.splits.items()
    }
    assert {k: len(v) for k, v in boxes.splits.items()} == {"train": 8, "test": 4}
    assert boxes.labels.keys() == masks.labels.keys() == boxes.pairs.keys()


def test_the_same_pixels_have_the_same_digest_in_both_layouts(
    scenes_root: Path, tmp_path: Path
) -> None:
    known = FileDigests(tmp_path / "db.sqlite")
    boxes, masks = open_dataset(boxes_spec(scenes_root)), open_dataset(masks_spec(scenes_root))
    assert boxes.pairs_digest(known) == masks.pairs_digest(known)
    assert boxes.split_digest() == masks.split_digest()
    assert boxes.labels_digest(known) != masks.labels_digest(known)
    assert boxes.pairs_digest(known, boxes.splits["test"]) != boxes.pairs_digest(known)


def test_an_inspection_counts_boxes_pixels_and_sizes(scenes_root: Path) -> None:
    steps: list[tuple[int, int]] = []
    boxes = inspect(open_dataset(boxes_spec(scenes_root)), lambda *step: steps.append(step))
    masks = inspect(open_dataset(masks_spec(scenes_root)))
    assert boxes.problems == masks.problems == []
    assert boxes.sizes == masks.sizes == {"96x96": 12}
    assert steps == [(n, 12) for n in range(1, 13)]
    written = (scenes_root / "m3fd" / "Annotation").glob("*.xml")
    objects = sum(path.read_text().count("<object>") for path in written)
    assert sum(boxes.histogram["train"].values()) + sum(boxes.histogram["test"].values()) == objects
    assert sum(masks.histogram["train"].values()) == 8 * 96 * 96
    assert sum(masks.histogram["test"].values()) == 4 * 96 * 96


def test_boxes_survive_the_index(scenes_root: Path) -> None:
    dataset = open_dataset(boxes_spec(scenes_root))
    index = inspect(dataset).index
    back = boxes_of(index)
    assert sum(len(item.boxes) for item in back.values()) > 0
    assert all((item.width, item.height) == (96, 96) for item in back.values())
    assert all(0 <= box.x1 < box.x2 <= 96 for item in back.values() for box in item.boxes)


def test_every_problem_is_collected(scenes: Path) -> None:
    names = sorted(path.stem for path in (scenes / "m3fd" / "Ir").iterdir())
    (scenes / "m3fd" / "Ir" / f"{names[0]}.png").write_bytes(b"no image")
    write_png(scenes / "m3fd" / "Vis" / f"{names[1]}.png", np.zeros((64, 96, 3), np.uint8))
    (scenes / "m3fd" / "Annotation" / f"{names[2]}.xml").write_text("<annotation>")
    found = inspect(open_dataset(boxes_spec(scenes)))
    assert len(found.problems) == 3
    assert "cannot be read as an image" in found.problems[0]
    assert "96x96 but" in found.problems[1]
    assert "is not a readable XML file" in found.problems[2]
    assert set(found.index) == set(names[3:])


def spoil(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(train=[]), 'has an empty split "train"; list at least one name'),
        (lambda d: d.update(test=None), 'has an empty split "test"; list at least one name'),
        (
            lambda d: d["test"].append("nobody"),
            'names "nobody" (1 such), which the dataset "boxes"',
        ),
        (lambda d: d["test"].append(d["train"][0]), "more than once; keep one of them"),
        (lambda d: d.update(tset=d.pop("test")), 'the unknown key "tset". Did you mean "test"?'),
        (lambda d: d["train"].append(8), "lists 8 without quotes; write names as text"),
        (lambda d: d.update(train="00000D"), '"train" must be a list of names'),
    ],
)
def test_a_bad_split_file_is_told(scenes: Path, change: Any, message: str) -> None:
    path = scenes / "m3fd" / "split.yaml"
    spoil(path, change)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        open_dataset(boxes_spec(scenes))
    assert str(path) in str(caught.value)


def test_a_split_file_knows_the_scenes(scenes: Path) -> None:
    path = scenes / "m3fd" / "split.yaml"
    names = yaml.safe_load(path.read_text())["test"]
    spoil(path, lambda d: d.update(scenes={"drive": names[:2], "other": names[2:3]}))
    found = open_dataset(boxes_spec(scenes)).scenes
    assert found == {names[0]: "drive", names[1]: "drive", names[2]: "other"}
    assert open_dataset(boxes_spec(scenes, near_duplicates="none")).scenes == {}


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": ["x"], "b": ["x"]}, 'names "x" in two scenes; keep it in one of them'),
        (["x"], '"scenes" must hold a list of names by scene; write NAME: [...]'),
        ({"a": "x"}, '"a" must be a list of names'),
    ],
)
def test_bad_scenes_are_told(scenes: Path, groups: Any, message: str) -> None:
    path = scenes / "m3fd" / "scenes.yaml"
    path.write_text(yaml.safe_dump({"scenes": groups}))
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        open_dataset(boxes_spec(scenes, near_duplicates=str(path)))
    assert str(path) in str(caught.value)


def test_a_missing_file_of_scenes_is_told(scenes: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.yaml, which says what images .* boxes\.near"):
        open_dataset(boxes_spec(scenes, near_duplicates=str(scenes / "gone.yaml")))


def test_a_missing_split_file_is_told(scenes: Path) -> None:
    (scenes / "m3fd" / "split.yaml").unlink()
    with pytest.raises(
        InputError, match=r"split\.yaml does not exist; make it with fuse-then data"
    ):
        open_dataset(boxes_spec(scenes))


def test_a_missing_root_shows_the_expected_tree(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_dataset(masks_spec(tmp_path))
    told = str(caught.value)
    assert told.startswith(f'The root of dataset "masks", {tmp_path}/msrs, does not exist; put')
    for line in ("train/ir/*.png", "test/vi/*.png", "test/Segmentation_labels/*.png"):
        assert f"    {line}" in told


def test_a_missing_folder_shows_the_expected_tree(scenes: Path) -> None:
    (scenes / "m3fd" / "Annotation").rename(scenes / "m3fd" / "Labels")
    with pytest.raises(InputError, match=r'"boxes" has no folder .*/Annotation; put it there') as c:
        open_dataset(boxes_spec(scenes))
    assert "Annotation/*.xml" in str(c.value)


def test_a_missing_label_is_told_with_the_count(scenes: Path) -> None:
    removed = sorted((scenes / "m3fd" / "Annotation").iterdir())[:2]
    for path in removed:
        path.unlink()
    with pytest.raises(InputError, match=rf"no label for {removed[0].stem} \(2 of 12 are missing"):
        open_dataset(boxes_spec(scenes))


def test_a_pair_in_two_split_folders_is_refused(scenes: Path) -> None:
    for folder in ("ir", "vi", "Segmentation_labels"):
        name = sorted((scenes / "msrs" / "train" / folder).iterdir())[0]
        (scenes / "msrs" / "test" / folder / name.name).write_bytes(name.read_bytes())
    with pytest.raises(InputError, match="is in test and in another split"):
        open_dataset(masks_spec(scenes))


def test_a_validation_folder_is_taken_where_there_is_one(scenes: Path) -> None:
    (scenes / "msrs" / "test").rename(scenes / "msrs" / "val")
    with pytest.raises(InputError, match="test/ir does not exist"):
        open_dataset(masks_spec(scenes))
    (scenes / "msrs" / "train").rename(scenes / "msrs" / "test")
    (scenes / "msrs" / "val").rename(scenes / "msrs" / "train")
    assert set(open_dataset(masks_spec(scenes)).splits) == {"train", "test"}


def test_pairs_alone_need_neither_labels_nor_split(scenes: Path) -> None:
    data = {"name": "p", "layout": "pairs", "root": str(scenes / "m3fd")}
    folders = {"infrared": "Ir", "visible": "Vis"}
    dataset = open_dataset(DatasetSpec.model_validate({**data, **folders}))
    assert (len(dataset.pairs), dataset.labels, dataset.splits) == (12, {}, {})
    assert inspect(dataset).sizes == {"96x96": 12}


def test_braces_in_a_folder_are_part_of_its_name(scenes: Path) -> None:
    (scenes / "msrs" / "train" / "ir").rename(scenes / "msrs" / "train" / "{ir}")
    (scenes / "msrs" / "test" / "ir").rename(scenes / "msrs" / "test" / "{ir}")
    assert len(open_dataset(masks_spec(scenes, infrared="{split}/{ir}")).pairs) == 12


def test_yolo_labels_are_read_in_the_order_of_the_classes(scenes: Path) -> None:
    labels = scenes / "m3fd" / "labels"
    labels.mkdir()
    for path in (scenes / "m3fd" / "Ir").iterdir():
        (labels / f"{path.stem}.txt").write_text("1 0.5 0.5 0.25 0.5\n")
    changes = {"layout": "yolo", "infrared": "Ir", "visible": "Vis", "classes": ["a", "b"]}
    found = inspect(open_dataset(boxes_spec(scenes, labels="labels", **changes)))
    assert found.histogram["test"] == {"b": 4}
    assert {tuple(e["boxes"][0]) for e in found.index.values()} == {(1, 36.0, 24.0, 60.0, 72.0)}


def test_images_outside_every_split_are_counted_apart(scenes: Path) -> None:
    spoil(scenes / "m3fd" / "split.yaml", lambda d: d.update(train=d["train"][:3]))
    found = inspect(open_dataset(boxes_spec(scenes)))
    assert "unused" in found.histogram
    assert len(found.index) == 12


def test_an_image_of_sixteen_bits_is_a_problem(scenes: Path) -> None:
    path = sorted((scenes / "m3fd" / "Ir").iterdir())[0]
    assert cv2.imwrite(str(path), np.zeros((96, 96), np.uint16))
    assert "uint16, not 8-bit" in inspect(open_dataset(boxes_spec(scenes))).problems[0]


def test_a_missing_root_names_the_source(tmp_path: Path) -> None:
    spec = DatasetSpec(name="far", layout="m3fd", root=tmp_path / "no", source="Liu et al. 2022")
    with pytest.raises(InputError, match=r"put the data there \(source: Liu et al\. 2022\) or"):
        open_dataset(spec)
