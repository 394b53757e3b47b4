"""A task's grid: one table for each point, and whether their orders agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stand_ins import no_report, start_checker

from fusion.errors import InputError
from pipelines.planning.memory import recall, remember, spec_digest
from pipelines.planning.planner import make_plan
from pipelines.results.conclusions.agreement import agreements
from pipelines.results.finished import read_results
from pipelines.results.protocol.deviations import deviations
from pipelines.results.tables import experiment_evidence
from pipelines.results.values import Row, Table, Value
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import task_of, tasks

Write = Callable[..., Path]
DETECTORS = {"model": ["yolov5n", "yolo11n"]}


@pytest.fixture
def load(write_experiment: Write) -> Callable[..., ExperimentSpec]:
    """Load the tiny experiment with a grid of the detection section."""

    def make(grid: Any = None, **changes: Any) -> ExperimentSpec:
        given = {} if grid is None else {"detection.grid": grid}
        return load_experiment(str(write_experiment(**changes)), given)

    return make


def test_each_point_is_a_task_with_a_table_of_its_own(
    load: Callable[..., ExperimentSpec], tmp_path: Path
) -> None:
    experiment, store = load(DETECTORS), Store(tmp_path)
    names = ["detection yolov5n", "detection yolo11n", "segmentation"]
    assert list(experiment.sections) == names
    made = make_plan(experiment, store, tasks(), no_report, start_checker)
    assert [cell.task.name for cell in made.cells] == names
    assert [task.key for task in made.tasks] == ["detection", "detection", "segmentation"]
    titles = [step.title for cell in made.cells for step in cell.steps]
    assert "detect on average by yolo11n (seed 0)" in titles
    plain = make_plan(load(), store, tasks(), no_report, start_checker)
    assert made.cells[0].result.key == plain.cells[0].result.key, "yolov5n is the section's own"
    assert made.cells[1].result.key != made.cells[0].result.key
    evidence = experiment_evidence(read_results(made, store))
    assert [one.table.task for one in evidence] == names
    assert [one.table.name for one in evidence] == names
    assert [one.task.name for one in evidence] == names
    assert "The detector is yolo11n." in deviations(experiment, made.tasks[1])


def test_what_is_remembered_of_a_grid_is_read_back(
    load: Callable[..., ExperimentSpec], tmp_path: Path
) -> None:
    experiment, store = load(DETECTORS), Store(tmp_path)
    made = make_plan(experiment, store, tasks(), no_report, start_checker)
    remember(made, store)
    (known,) = recall(store)
    assert {c.title: c.result.key for c in known.cells} == {
        c.title: c.result.key for c in made.cells
    }
    assert spec_digest(load()) != spec_digest(experiment)


def test_points_are_told_by_values_that_are_words_and_by_key_and_value(
    load: Callable[..., ExperimentSpec],
) -> None:
    experiment = load({"model": ["yolov8n"], "image_size": [96, 128]})
    names = [f"detection yolov8n image_size={size}" for size in (96, 128)]
    assert list(experiment.sections)[:2] == names
    assert [experiment.sections[name].image_size for name in names] == [96, 128]
    assert task_of(names[0]) is task_of(names[0])
    assert task_of(names[0]).key == "detection"
    assert task_of("detection").key == "detection"


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"modle": ["yolov5n"]}, 'grid has the key "modle", no setting. Did you mean "model"?'),
        (
            {"model": ["yolov9q"]},
            "grid.model (it holds 'yolov9q'): not known. Did you mean \"yolov",
        ),
        ({"epochs": [0]}, "grid.epochs (it holds 0): Input should be greater than or equal to 1"),
        ({"model": []}, "grid.model must be a list of one value or more, all different"),
        ({"epochs": [1, 1]}, "grid.epochs must be a list of one value or more, all different"),
        ({"dataset": ["m3fd"]}, 'grid has the key "dataset", no setting.'),
        ({"micro_batch": [3]}, "micro_batch: 3 does not divide batch: 16"),
    ],
)
def test_a_point_that_cannot_be_is_one_sentence_before_anything_is_planned(
    load: Callable[..., ExperimentSpec], grid: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as error:
        load(grid)
    assert told in str(error.value)


def test_the_shipped_experiment_asks_three_detectors() -> None:
    experiment = load_experiment("scenes-detectors")
    models = [section.model for section in experiment.sections.values()]
    assert models == ["yolov5n", "yolov8n", "yolo11n"]
    assert {"early", "late"} <= {method.row for method in experiment.methods}


def test_the_orders_of_two_points_are_compared() -> None:
    def found(point: str, *means: float) -> Any:
        rows = tuple(
            Row(label, "ours", (Value(mean, None, 1),), 1, 1)
            for label, mean in zip(("infrared", "visible", "average"), means, strict=True)
        )
        name = f"detection {point}"
        table = Table(f"x: {name}", name, ("mAP50",), rows, (), (), name)
        return SimpleNamespace(table=table, headline="mAP50", samples={})

    same, other = found("yolov8n", 11, 21, 31), found("yolo11n", 3, 2, 1)
    both = agreements([found("yolov5n", 10, 20, 30), same, other])
    assert [round(one.tau, 6) for one in both] == [1, -1, -1]
    assert {one.methods for one in both} == {3}
