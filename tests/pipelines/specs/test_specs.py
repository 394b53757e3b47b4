from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fusion.errors import InputError
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import (
    config_path,
    load_dataset,
    load_experiment,
    parse_overrides,
    read_yaml,
    validate,
)
from pipelines.specs.method import MethodSpec

Write = Callable[..., Path]


def load(path: Path, *items: str) -> object:
    return load_experiment(str(path), parse_overrides(list(items)))


def complaint(path: Path, *items: str) -> str:
    with pytest.raises(InputError) as caught:
        load(path, *items)
    return str(caught.value)


def test_overrides_reach_nested_keys_and_list_items(write_experiment: Write) -> None:
    path = write_experiment(methods=[{"name": "laplacian", "params": {}}])
    changes = ["detection.epochs=7", "methods.0.params={levels: 3}", "seeds=[4, 5]"]
    spec = load_experiment(str(path), parse_overrides(changes))
    assert spec.detection is not None
    assert spec.detection.epochs == 7
    assert spec.methods[0].params == {"levels": 3}
    assert spec.seeds == (4, 5)


def test_an_override_may_name_a_shipped_dataset_and_method(write_experiment: Write) -> None:
    overrides = {"detection.dataset": "smoke-detection", "methods": ["visible", "lkc_funet-tiny"]}
    spec = load_experiment(str(write_experiment()), overrides)
    assert spec.detection is not None
    assert spec.detection.dataset.name == "smoke-detection"
    assert [m.name for m in spec.methods] == ["visible", "lkc_funet"]
    assert spec.methods[1].train is not None


def test_overrides_leave_the_file_alone(write_experiment: Write) -> None:
    path = write_experiment()
    before = path.read_bytes()
    load(path, "detection.epochs=7")
    assert path.read_bytes() == before


def test_an_override_without_a_place_says_how_to_write_one(write_experiment: Write) -> None:
    told = complaint(write_experiment(), "detektion.epochs=1")
    assert '"--set detektion.epochs=..." names no place' in told
    assert "methods.0.params" in told


@pytest.mark.parametrize("item", ["epochs", "=3"])
def test_an_override_needs_key_and_value(item: str) -> None:
    with pytest.raises(InputError, match=r"write --set a\.b=c"):
        parse_overrides([item])


def test_a_misspelt_key_is_told_before_the_missing_one(write_experiment: Write) -> None:
    data = read_yaml(write_experiment())
    data["detection"]["epoch"] = data["detection"].pop("epochs")
    path = write_experiment(detection=data["detection"])
    told = complaint(path)
    assert told.startswith(f'{path}: the key "detection.epoch" is unknown. Did you mean "epochs"?')


def test_a_key_unknown_inside_a_list_is_located(write_experiment: Write) -> None:
    told = complaint(write_experiment(methods=[{"name": "average", "lable": "x"}]))
    assert '"methods.0.lable" is unknown. Did you mean "label"?' in told


def test_a_missing_key_is_named(write_experiment: Write) -> None:
    data = read_yaml(write_experiment())
    del data["detection"]["epochs"]
    told = complaint(write_experiment(detection=data["detection"]))
    assert 'the key "detection.epochs" is missing; add it.' in told


def test_a_bad_value_is_shown_with_its_key(write_experiment: Write) -> None:
    told = complaint(write_experiment(), "detection.epochs=0")
    assert '"detection.epochs" (it is 0): Input should be greater than or equal to 1.' in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["average", "average"]}, 'two methods are called "average"; give one of them'),
        ({"methods": "average"}, '"methods" must be a list'),
        ({"methods": [3]}, 'methods holds "3", which is neither a name nor a mapping'),
        ({"methods": [{"use": "lkc_funet-tinny"}]}, 'Did you mean "lkc_funet-tiny"?'),
        ({"seeds": [1, 1]}, "seeds must be a list of different whole numbers"),
        ({"detection": None, "segmentation": None}, "give at least one of detection, segmentation"),
        ({"name": "../up"}, "\"name\" (it is '../up')"),
        ({"paper": {"detection": "tabel4"}}, 'Did you mean "table4"?'),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    write_experiment: Write, changes: dict[str, object], message: str
) -> None:
    told = complaint(write_experiment(**changes))
    assert message in told
    assert told.count("\n") == 0


def test_sizes_that_no_network_takes_are_refused_now(write_experiment: Write) -> None:
    assert '"segmentation.height" (it is 100)' in complaint(
        write_experiment(), "segmentation.height=100"
    )
    assert '"detection.image_size" (it is 100)' in complaint(
        write_experiment(), "detection.image_size=100"
    )


def test_a_dataset_of_the_other_task_is_refused(write_experiment: Write) -> None:
    masks = read_yaml(write_experiment())["segmentation"]["dataset"]
    boxes = read_yaml(write_experiment())["detection"]
    told = complaint(write_experiment(detection={**boxes, "dataset": masks}))
    assert "detection.dataset is masks, whose layout msrs has no labels for detection" in told


def test_variables_in_paths_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    spec = DatasetSpec.model_validate(
        {"name": "d", "layout": "msrs", "root": "${SOME_DATA}/MSRS", "split": {"file": "~/s.yaml"}}
    )
    assert spec.root == tmp_path / "MSRS"
    assert spec.split is not None
    assert spec.split.file == Path("/home/somebody/s.yaml")
    assert MethodSpec(name="precomputed", params={"folder": "$SOME_DATA/x"}).params == {
        "folder": f"{tmp_path}/x"
    }
    params = {"command": "$SOME_DATA/run {infrared} {visible} {output}"}
    assert MethodSpec(name="command", params=params).params == params  # no folder of images


@pytest.mark.parametrize("text", ["${SOME_DATA}/M3FD", "$SOME_DATA/M3FD"])
def test_an_unset_variable_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_DATA", raising=False)
    with pytest.raises(InputError, match=r"environment variable SOME_DATA, which is not set; set"):
        validate(DatasetSpec, {"name": "d", "layout": "m3fd", "root": text}, tmp_path / "d.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": None}, "give either root"),
        ({"scenes": {"train": 1, "test": 1}}, "give either root"),
        ({"labels": "{split}/Annotation"}, "either all of infrared, visible and labels hold"),
        ({"layout": "yolo"}, "layout yolo needs classes"),
        ({"layout": "pairs", "labels": "masks"}, "layout pairs has no labels"),
        ({"layout": ["m3fd"]}, '"layout"'),
        (
            {"layout": "cocoa"},
            '"layout" (it is \'cocoa\'): there is no layout "cocoa". Did you mean',
        ),
        ({"layout": "cocoa"}, 'Did you mean "coco"? Available: coco, m3fd, msrs, pairs, yolo.'),
        (
            {"layout": "pairs", "root": None, "scenes": {"train": 1, "test": 1}},
            "scenes are drawn in no layout pairs; take one of m3fd, msrs",
        ),
        ({"layout": "coco"}, "layout coco needs classes: a list with the names of its categories"),
        ({"split": {"ratios": [8, 1, 0]}}, "train and test above 0"),
        ({"split": {"ratios": [8, -1, 1]}}, "train and test above 0"),
    ],
)
def test_a_dataset_that_makes_no_sense(changes: dict[str, object], message: str) -> None:
    data = {"name": "d", "layout": "m3fd", "root": "/data", **changes}
    with pytest.raises(InputError) as caught:
        validate(DatasetSpec, data, Path("d.yaml"))
    assert str(caught.value).startswith("d.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["name", "checkpoint", "device"])
def test_what_stands_beside_params_may_not_stand_in_it(key: str) -> None:
    with pytest.raises(InputError, match=f'"{key}" is no parameter; write it beside params'):
        validate(MethodSpec, {"name": "average", "params": {key: "x"}}, Path("m.yaml"))


def test_checkpoint_and_training_exclude_each_other() -> None:
    train = {"dataset": {"name": "d", "layout": "pairs", "root": "/d"}, "epochs": 1}
    data = {"name": "lkc_funet", "checkpoint": "/w.pt", "train": train}
    with pytest.raises(InputError, match="give either checkpoint or train, not both"):
        validate(MethodSpec, data, Path("m.yaml"))


def test_layouts_fill_in_folders_and_classes_and_tell_the_task() -> None:
    m3fd = DatasetSpec.model_validate({"name": "a", "layout": "m3fd", "root": "/a"})
    msrs = DatasetSpec.model_validate({"name": "b", "layout": "msrs", "root": "/b"})
    assert (m3fd.infrared, m3fd.labels, m3fd.task) == ("Ir", "Annotation", "detection")
    assert (msrs.visible, msrs.task, len(msrs.classes)) == ("{split}/vi", "segmentation", 9)
    assert msrs.comes_split
    assert not m3fd.comes_split


def test_files_that_are_not_yaml_mappings_are_told_apart(tmp_path: Path) -> None:
    for name, content, message in (
        ("a", b"a: [1", "is not valid YAML"),
        ("b", b"- 1", "must hold a mapping"),
        ("c", b"\xff\xfe\x00", "is not a text file in UTF-8"),
    ):
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read_yaml(path)
        assert str(path) in str(caught.value)


def test_shipped_configs_are_found_by_name_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path("experiments", "smoke") == config_path(
        "experiments", "configs/experiments/smoke.yaml"
    )
    with pytest.raises(InputError, match=r'no "smok" in configs/experiments.*mean "smoke"'):
        config_path("experiments", "smok")
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist; check the path"):
        config_path("experiments", "nowhere.yaml")


def shipped(kind: str) -> list[str]:
    return sorted(p.stem for p in config_path("experiments", "smoke").parents[1].glob(f"{kind}/*"))


@pytest.mark.parametrize("name", shipped("datasets"))
def test_every_shipped_dataset_is_valid(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_DATA", str(tmp_path))
    assert load_dataset(name).name == name


@pytest.mark.parametrize("name", shipped("experiments"))
def test_every_shipped_experiment_is_valid(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_DATA", str(tmp_path))
    assert load_experiment(name).name == name


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("detection.model", "yolov8q", 'not known. Did you mean "yolov8'),
        ("detection.model", "rtdetr", 'not known. Did you mean "rtdetr-'),
        ("segmentation.architecture", "UNet", 'not known. Did you mean "Unet"? Available: Deep'),
    ],
)
def test_an_unknown_network_is_answered_with_the_one_that_was_meant(
    key: str, value: str, told: str
) -> None:
    with pytest.raises(InputError) as error:
        load_experiment("smoke", {key: value})
    assert f"\"{key}\" (it is '{value}'): {told}" in str(error.value)
