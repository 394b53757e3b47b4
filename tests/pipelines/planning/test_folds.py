"""Cross-validation: every image is tested once, by networks that never saw its scene."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from stand_ins import no_report

from pipelines.datasets.opening import open_dataset
from pipelines.planning.cost.sketches import blocked_stages
from pipelines.planning.memory import recall, remember
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.finished import read_results
from pipelines.results.tables import experiment_evidence
from pipelines.results.values import Table
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import tasks
from pipelines.views.formats import render
from segmentation.iou import scores
from tests.support.synthetic_store import finish

FOLDS = 3
SPLIT = {"folds": FOLDS, "seed": 1}


@pytest.fixture
def planned(
    scenes_root: Path, session_store: Path, shared_worker: SimpleNamespace, tmp_path: Path
) -> Any:
    """Return a function that plans methods on boxes and masks of twelve and eight scenes."""

    def make(
        methods: Any = ("visible", "average"), store: Path = session_store, **more: Any
    ) -> Plan:
        boxes = {"name": "boxes", "layout": "m3fd", "root": str(scenes_root / "m3fd")}
        masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs" / "train")}
        masks |= {"infrared": "ir", "visible": "vi", "labels": "Segmentation_labels"}
        common = {"split": SPLIT, "near_duplicates": "none"}
        small = {"architecture": "DeepLabV3Plus", "encoder": "mobilenet_v2", "epochs": 1}
        tiny = {"model": "yolov5n", "image_size": 96, "epochs": 1}
        data = {
            "name": "folded",
            "methods": list(methods),
            "seeds": [0, 1],
            "detection": {"dataset": {**boxes, **common}, **tiny},
            "segmentation": {"dataset": {**masks, **common}, **small, "height": 96, "width": 96},
            "scoring": {"dataset": {**boxes, **common}, "metrics": ["SD"]},
            **more,
        }
        path = tmp_path / "folded.yaml"
        path.write_text(yaml.safe_dump(data))
        spec = load_experiment(str(path))
        return make_plan(spec, Store(store), tasks(), no_report, shared_worker.start)

    return make


def dataset_of(cell: Cell) -> Any:
    return open_dataset(DatasetSpec(**cell.result.local["dataset"]))


def of(plan: Plan, task: str, row: str, seed: int = 0) -> list[Cell]:
    mine = [c for c in plan.cells if (c.method.row, c.task.name, c.seed) == (row, task, seed)]
    return [cell for cell in mine if cell.fold is not None]


def test_every_image_is_tested_once_and_learned_from_in_all_other_folds(planned: Any) -> None:
    plan = planned()
    assert plan.blocked == ()
    assert len(plan.cells) == 3 * 2 * 2 * FOLDS
    for task, images in (("detection", 12), ("segmentation", 8), ("scoring", 12)):
        cells = of(plan, task, "average")
        assert [cell.title for cell in cells][:2] == [
            f"average / {task} / seed 0, fold 1",
            f"average / {task} / seed 0, fold 2",
        ]
        opened = [dataset_of(cell) for cell in cells]
        tested = [name for data in opened for name in data.splits["test"]]
        assert len(tested) == len(set(tested)) == images
        for data in opened:
            assert {*data.splits["train"], *data.splits["test"]} == set(tested)
            assert "val" not in data.splits


def test_folds_that_cannot_run_are_measured_too(planned: Any, tmp_path: Path) -> None:
    there = planned(methods=["visible"], segmentation=None, scoring=None)
    boxes = there.experiment.detection.model_dump(mode="json")
    boxes["dataset"]["root"] = str(tmp_path / "nowhere")
    plan = planned(methods=["visible"], segmentation=None, scoring=None, detection=boxes)
    assert [title for title, _ in plan.blocked] == [cell.title for cell in there.cells]
    made = [title.split("/")[0] for title in blocked_stages(plan, Store(tmp_path / "store"))]
    assert made.count("train_detector") == made.count("detect") == 2 * FOLDS
    assert made.count("fuse") == 1


def test_folds_share_fused_images_and_no_training(planned: Any) -> None:
    plan = planned()
    first, second = of(plan, "detection", "average")[:2]
    assert first.steps[0].stages[0].key == second.steps[0].stages[0].key
    trained = {cell.steps[-1].stages[0].key for cell in plan.cells if cell.task.name == "detection"}
    assert len(trained) == 2 * 2 * FOLDS
    seeds = {cell.steps[-1].stages[0].spec["seed"] for cell in of(plan, "detection", "average")}
    assert len(seeds) == FOLDS  # lots of their own
    titles: dict[str, set[str]] = {}
    for step in (step for cell in plan.cells for step in cell.steps):
        titles.setdefault(step.title, set()).add(step.stages[-1].key)
    assert all(len(keys) == 1 for title, keys in titles.items() if "fuse" not in title)


def test_validation_images_are_taken_out_of_train_where_an_epoch_is_chosen(planned: Any) -> None:
    boxes = {"select": "best"}
    plan = planned(methods=["visible"], segmentation=None, scoring=None)
    without = dataset_of(of(plan, "detection", "visible")[0]).splits
    spec = plan.experiment.detection.model_dump(mode="json") | boxes
    chosen = planned(methods=["visible"], segmentation=None, scoring=None, detection=spec)
    splits = dataset_of(of(chosen, "detection", "visible")[0]).splits
    assert splits["test"] == without["test"]
    assert {*splits["train"], *splits["val"]} == set(without["train"])
    assert splits["val"]


def trained(dataset: Any) -> dict[str, Any]:
    train = {"dataset": dataset, "epochs": 1, "batch_size": 2, "crop": 32}
    return {"name": "lkc_funet", "label": "ours", "params": {"preset": "tiny"}, "train": train}


def test_a_fusion_network_is_trained_once_a_fold(planned: Any) -> None:
    boxes = planned(methods=["visible"]).experiment.detection.dataset.model_dump(mode="json")
    plan = planned(methods=[trained(boxes)], segmentation=None, scoring=None)
    assert plan.blocked == ()
    assert len({cell.stages.__next__().key for cell in plan.cells}) == 2 * FOLDS
    assert plan.cells[0].steps[0].title == "train ours (seed 0, fold 1)"
    cell = plan.cells[0]
    learned = open_dataset(DatasetSpec(**next(cell.stages).local["dataset"])).splits["train"]
    assert not {*learned} & {*dataset_of(cell).splits["test"]}


@pytest.mark.parametrize("split", [{"ratios": [2, 1, 1]}, {"folds": FOLDS, "seed": 2}])
def test_a_network_that_would_learn_what_it_is_tested_on_is_told(planned: Any, split: Any) -> None:
    boxes = planned(methods=["visible"]).experiment.detection.dataset.model_dump(mode="json")
    other = {**boxes, "name": "other", "split": split}
    plan = planned(methods=[trained(other)], segmentation=None, scoring=None)
    assert plan.cells == ()
    told = {why for _, why in plan.blocked}
    assert told == {
        'ours is trained on "other" and tested on "boxes" by other folds, so that it would learn '
        "from what it is tested on; give both the same split."
    }


def row_of(table: Table, label: str) -> Any:
    return next(row for row in table.rows if row.label == label)


def test_a_row_is_of_all_folds(planned: Any, tmp_path: Path) -> None:
    """AP is the mean of the folds', IoU of one matrix, quality of all images; all is recalled."""
    store = Store(tmp_path / "store")
    plan = planned(store=store.root)
    finish(plan.cells, store)
    results = read_results(plan, store)
    boxes, masks, quality = (one.table for one in experiment_evidence(results))
    cells = {task: of(plan, task, "average") for task in ("detection", "segmentation")}
    done = {one.cell: one for one in results.cells}
    by_seed = []
    for seed in (0, 1):
        own = [done[cell].scores[-1] for cell in of(plan, "detection", "average", seed)]
        by_seed.append(100 * np.mean([score for score in own if score is not None]))
    shown = row_of(boxes, "average")
    assert (shown.finished, shown.wanted) == (2, 2)
    assert shown.values[-1].mean == pytest.approx(np.mean(by_seed))
    assert shown.values[-1].sd == pytest.approx(np.std(by_seed, ddof=1))
    classes = plan.experiment.segmentation.dataset.classes
    pooled = []
    for seed in (0, 1):
        kept = [done[cell].kept for cell in of(plan, "segmentation", "average", seed)]
        summed = sum(one.confusions.sum(axis=0) for one in kept)
        pooled.append(100 * scores(summed, classes).miou)
    assert row_of(masks, "average").values[-2].mean == pytest.approx(np.mean(pooled))
    assert row_of(quality, "average").values[0].seeds == 1
    assert any("2 trainings a row for each of 3 folds" in line for line in boxes.deviations)
    assert any("dataset.split.ratios 3 folds (paper: 8-1-1)" in line for line in boxes.deviations)
    told = "Cross-validated: 3 folds of whole scenes test every image once"
    assert any(note.startswith(told) and "the mean of the folds'" in note for note in boxes.notes)
    assert any(note.startswith(told) and "all folds' images" in note for note in masks.notes)
    assert told in render(boxes, "md")
    assert any("(12 images, each a scene of its own)" in note for note in boxes.notes)
    assert cells["detection"][0].fold is not None
    remember(plan, store)
    (again,) = recall(store)
    assert {cell.title for cell in again.cells} == {cell.title for cell in plan.cells}
    recalled = {
        one.table.name: one.table for one in experiment_evidence(read_results(again, store))
    }
    assert recalled == {table.name: table for table in (boxes, masks, quality)}


def test_a_seed_counts_when_all_its_folds_are_finished(planned: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plan = planned(methods=["visible"], store=store.root, segmentation=None, scoring=None)
    finish(plan.cells[: FOLDS + 1], store)
    (found,) = experiment_evidence(read_results(plan, store))
    (row,) = found.table.rows
    assert (row.finished, row.wanted) == (1, 2)
    assert row.values[-1].seeds == 1
