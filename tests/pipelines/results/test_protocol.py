"""A table says of every setting whether the paper states it, and whether it is followed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.results.finished import FinishedCell
from pipelines.results.protocol.conditions import differing_conditions
from pipelines.results.protocol.deviations import deviations, stated_of
from pipelines.results.protocol.networks import trained_on
from pipelines.results.protocol.printed import paper_rows, printed_tables, read_paper_table
from pipelines.results.protocol.settings import CHANGED, FOLLOWED, SILENT
from pipelines.results.protocol.stated import read_stated
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.tasks.facts import NOT_HASHED
from pipelines.tasks.task import task_of

TABLES = {f"table{n}": {4: "detection", 5: "segmentation"}.get(n, "scoring") for n in range(1, 6)}
ROWS = {
    "table1": "CDDFuse EMMA MMDRFuse GeSeNet FATFusion LKC-FUNet",
    "table3": "CDDFuse EMMA MMDRFuse LRRNet SegMIF DCINN SHIP LKC-FUNet",
    "table4": "infrared visible CDDFuse EMMA MMDRFuse LRRNet SegMIF DCINN SHIP LKC-FUNet",
    "table5": "infrared visible CDDFuse EMMA MMDRFuse LRRNet SegMIF DCINN SHIP LKC-FUNet",
}


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSE_THEN_DATA", "/data")


def told(name: str, task: str, part: str = "", **changes: Any) -> tuple[str, ...]:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return deviations(load_experiment(name, overrides), task_of(task), part)


def others(value: Any, choices: tuple[Any, ...], key: str) -> Iterator[Any]:
    """Yield what might stand in the place of a setting's value."""
    yield from {
        "initial_checkpoint": ["/a/start.pt"],
        "encoder_checkpoint": ["/a/start.pt"],
        "pretrain": [{"epochs": 3}],
        "pretrained": ["/a/unet.pt"],
    }.get(key, [])
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value * 2, value / 2, value + 1, value - 1)
    elif isinstance(value, tuple):
        yield value[:-1]
    elif isinstance(value, str):
        yield "resnet18"
    elif value is None and int in choices:
        yield from (16, 1)
    yield from (choice for choice in choices if choice != value)


def another(spec: BaseModel, key: str) -> Any:
    """Return another valid value of a setting, as YAML has it."""
    choices = get_args(type(spec).model_fields[key].annotation)
    choices += tuple(one for choice in choices for one in get_args(choice))
    for other in others(getattr(spec, key), choices, key):
        try:
            found = getattr(type(spec).model_validate({**dict(spec), key: other}), key)
        except ValidationError:
            continue
        if found != getattr(spec, key):
            return list(other) if isinstance(other, tuple) else other
    pytest.fail(f"no other value of {key} is known; add one to `others`")


def settings_of(table: str) -> list[tuple[str, str, str]]:
    """Return table, place and key of every setting of a table's protocol."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSE_THEN_DATA", "/data")
        spec = load_experiment(table)
    task = TABLES[table]
    number = next(n for n, method in enumerate(spec.methods) if method.train is not None)
    sections = {task: spec.sections[task], f"methods.{number}.train": spec.methods[number].train}
    return [
        (table, place, key)
        for place, section in sections.items()
        for key in (type(section).model_fields if section is not None else ())
        if key not in {"dataset", "seed", *NOT_HASHED}
    ]


@pytest.mark.parametrize(
    ("table", "place", "key"),
    [one for table in ("table3", "table4", "table5") for one in settings_of(table)],
)
def test_every_changed_setting_is_told(table: str, place: str, key: str) -> None:
    spec = load_experiment(table)
    section: Any = spec
    for part in place.split("."):
        section = section[int(part)] if part.isdigit() else getattr(section, part)
    before = told(table, TABLES[table])
    value = another(section, key)
    after = deviations(load_experiment(table, {f"{place}.{key}": value}), task_of(TABLES[table]))
    new = [line for line in after if line not in before]
    assert any(f"{key} " in line and line.startswith((CHANGED, SILENT, FOLLOWED)) for line in new)


def test_an_override_of_a_shipped_table_is_told_beside_the_papers_value() -> None:
    (line,) = [
        line
        for line in told(
            "table4",
            "detection",
            detection__epochs=3,
            detection__batch=16,
            detection__image_size=320,
        )
        if line.startswith(CHANGED)
    ]
    assert line == f"{CHANGED}: epochs 3 (paper: 1000), batch 16 (paper: 128)."


def test_what_the_paper_does_not_say_is_never_called_the_papers() -> None:
    lines = told("msrs-real", "segmentation")
    (changed,) = [line for line in lines if line.startswith(f"{CHANGED}:")]
    for silent in ("encoder", "height", "width", "schedule", "class_weights", "augment"):
        assert silent not in changed
        assert any(line.startswith(f"{SILENT}:") and f"{silent} " in line for line in lines)
    assert "architecture DeepLabV3Plus (paper: DeepLabV3)" in changed


def test_the_letter_of_a_table_is_followed() -> None:
    for table, task in TABLES.items():
        assert not [line for line in told(table, task) if line.startswith(CHANGED)]
        assert [line for line in told(table, task) if line.startswith(FOLLOWED)]


def test_detector_engine_and_precision_are_told() -> None:
    text = " ".join(told("table4", "detection", detection__engine="pycocotools"))
    assert "101 recall points" in text
    assert "computed by pycocotools" in text
    assert "suppression at IoU 0.7" in text
    assert "fp16" not in text
    assert "(fp16)" in " ".join(told("table4", "detection", detection__precision="bf16"))


def test_presets_checkpoints_and_budgets_of_fusion_methods_are_told() -> None:
    lines = told("table4", "detection")
    assert any("CDDFuse, EMMA, MMDRFuse, SegMIF with preset=official" in line for line in lines)
    plain = [{"name": "cddfuse", "checkpoint": "published"}]
    assert any("cddfuse with defaults" in x for x in told("table4", "detection", methods=plain))
    lines = told("demo", "detection")
    other = "Other networks than the paper's LKC-FUNet: LKC-FUNet (tiny) (preset=tiny)."
    assert other in lines
    assert any("epochs 10 (paper: 1000)" in line for line in lines)


def test_rows_of_one_budget_share_their_sentences() -> None:
    lines = told("table2", "scoring")
    assert len([line for line in lines if "(every trained row)" in line]) == 2
    changes = {"methods__0__train__epochs": 7}
    (line,) = [x for x in told("table2", "scoring", **changes) if x.startswith(CHANGED)]
    assert line == f"{CHANGED} (training of I: all BN, 3x3): epochs 7 (paper: 1000)."


def test_a_first_training_is_told_where_there_is_one() -> None:
    lines = told("table2", "scoring")
    assert not any("pretrain" in line for line in lines)
    train = {"dataset": "harvard", "epochs": 2, "pretrain": {"epochs": 3, "seed": 1}}
    row = {"name": "dm_fnet", "label": "two", "params": {"preset": "tiny"}, "train": train}
    (line,) = [x for x in told("table2", "scoring", methods=[row]) if "pretrain" in x]
    assert line.startswith(f"{SILENT} (training of two): epochs 2, ")
    assert "pretrain (epochs=3, batch_size=32, " in line
    assert "weight_decay=0.01)" in line
    assert "seed" not in line
    assert "pretrained" not in line


def test_one_network_for_all_seeds_is_told() -> None:
    several, fixed = {"seeds": [0, 1]}, {"methods__3__train__seed": 0}
    for changes in ({}, several, {**fixed, "seeds": [0]}):
        assert not any("One trained" in line for line in told("demo", "detection", **changes))
    (line,) = [x for x in told("demo", "detection", **several, **fixed) if "One trained" in x]
    assert line.startswith("One trained fusion network serves all seeds (LKC-FUNet (tiny))")


def test_another_number_of_test_images_is_told() -> None:
    spec, task = load_experiment("table3"), task_of("scoring")
    assert "Test images: 40 (paper: 361)." in deviations(spec, task, "MSRS", 40)
    assert not any("Test images" in line for line in deviations(spec, task, "TNO", 37))


@pytest.mark.parametrize("table", ROWS)
def test_every_printed_row_stands_beneath_the_row_of_its_name(table: str) -> None:
    spec, task = load_experiment(table), task_of(TABLES[table])
    section = spec.sections[task.name]
    for part in section.dataset.parts if task.per_image else ("",):
        rows, _ = paper_rows(spec, task, task.columns(section), part)
        assert list(rows) == ROWS[table].split()
        assert all(any(value is not None for value in values) for values in rows.values())


def test_another_network_gets_no_printed_row() -> None:
    spec = load_experiment("msrs-real")
    task = task_of("segmentation")
    rows, notes = paper_rows(spec, task, task.columns(spec.sections["segmentation"]), "")
    assert "LKC-FUNet (tiny)" not in rows
    assert {"infrared", "visible", "MMDRFuse", "LRRNet", "SHIP"} == rows.keys()
    assert any(note.endswith("no printed row: LKC-FUNet (tiny).") for note in notes)
    teacher = {"name": "mmdrfuse", "params": {"preset": "teacher"}, "checkpoint": "published"}
    other = load_experiment("table5", {"methods": [teacher]})
    assert paper_rows(other, task, ("car",), "")[0] == {}


def test_a_part_of_a_printed_table_can_stand_beside_a_dataset_without_parts() -> None:
    changes = {"scoring.dataset": "msrs", "scoring.by_part": False, "paper.scoring": "table3/MSRS"}
    spec, task = load_experiment("table3", changes), task_of("scoring")
    rows, _ = paper_rows(spec, task, ("SD",), "")
    (value,) = rows["SHIP"]
    assert value is not None
    assert value.mean == 41.131
    assert "Test images: 40 (paper: 361)." in deviations(spec, task, "", 40)


def test_rows_say_what_their_networks_learnt_from() -> None:
    spec = load_experiment("table4")
    note = trained_on(spec, spec.sections["detection"].dataset, "")
    assert note is not None
    ship, *_ = [x for x in note.split("; ") if "SHIP" in x]
    assert "M3FD" in ship
    assert "may know these test images" in ship
    assert "LKC-FUNet: msrs (here, by this table's run)" in note
    assert note.count("may know") == 1
    masks = load_experiment("table5")
    other = trained_on(masks, masks.sections["segmentation"].dataset, "")
    assert other is not None
    assert "SegMIF: MFNet, of which MSRS is made (by its authors, so that it may know" in other
    bare = load_experiment("demo", {"methods": ["visible", "average"]})
    assert trained_on(bare, bare.sections["detection"].dataset, "") is None


def test_weights_without_a_known_digest_are_told() -> None:
    said = [line for line in told("table4", "detection") if "on trust" in line]
    assert len(said) == 1
    assert said[0].endswith("no digest of the published files is known here: SegMIF, DCINN.")


def test_rows_of_other_devices_and_threads_are_told() -> None:
    def cell(**made: Any) -> FinishedCell:
        stage = SimpleNamespace(manifest=SimpleNamespace(**{"versions": {"torch": "2"}, **made}))
        return SimpleNamespace(stages=(stage,))  # type: ignore[return-value]

    alike = {"a": [cell(device="cpu", threads=2)], "b": [cell(device="cpu", threads=2)]}
    assert differing_conditions(alike) == ()
    cards = {"a": [cell(device="cuda:0", threads=1)], "b": [cell(device="cuda:1", threads=4)]}
    assert differing_conditions(cards) == ()
    (line,) = differing_conditions({**alike, "c": [cell(device="cuda:0", threads=1)]})
    assert "cpu of 2 threads, torch 2: a, b; cuda, torch 2: c." in line
    (line,) = differing_conditions({**alike, "c": [cell(device="cpu", threads=1)]})
    assert "cpu of 1 threads, torch 2: c" in line


@pytest.mark.parametrize("table", TABLES)
def test_what_is_stated_names_settings_that_there_are(table: str) -> None:
    stated = read_stated(table)
    assert stated is not None
    spec = load_experiment(table)
    section: Any = spec.sections[stated.task]
    trained = next(method.train for method in spec.methods if method.train is not None)
    for statements, place in ((stated.settings, section), (stated.fusion, trained)):
        for one in statements:
            value: Any = place
            for part in one.setting.split("."):
                assert one.built_in or hasattr(value, part), one.setting
                value = getattr(value, part, None)


def test_an_experiment_without_a_paper_is_compared_with_its_tasks_table() -> None:
    spec: ExperimentSpec = load_experiment("demo")
    assert stated_of(spec, task_of("detection")) == read_stated("table4")
    assert stated_of(spec, task_of("segmentation")) == read_stated("table5")


def test_means_of_the_printed_tables_follow_from_their_classes_but_two() -> None:
    wrong = []
    for table, mean in (("table4", "mAP50"), ("table5", "mIoU")):
        for method, cells in read_paper_table(table).items():
            classes = [v for key, v in cells.items() if key != mean and v is not None]
            printed = cells[mean]
            assert printed is not None
            if abs(sum(classes) / len(classes) - printed) > 0.1:
                wrong.append(method)
    assert wrong == ["dcinn", "segmif"]


def test_a_printed_table_comes_in_its_parts() -> None:
    assert [table.name for table in printed_tables("table3")] == [
        "table3-MSRS",
        "table3-M3FD",
        "table3-TNO",
    ]
    assert [len(table.rows) for table in printed_tables("table1")] == [6, 6, 6]
    (table,) = printed_tables("table4")
    assert (table.task, table.digits, table.columns[-1]) == ("detection", 1, "mAP50")
