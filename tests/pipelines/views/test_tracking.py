from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from readings import tables_of
from stages import by_hand, commit, facts

from pipelines.execution.runner import Step
from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import read_results
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.scoring import SCORES, write_scores
from pipelines.tasks.task import task_of
from pipelines.views.tracking.cells import CellRun
from pipelines.views.tracking.metrics import metric_name
from pipelines.views.tracking.tracker import Tracker, tracking_uri

pytestmark = pytest.mark.process

AP = {"People": 0.5, "Car": 0.7, "Bus": None, "Lamp": 0.1, "Motorcycle": 0.2, "Truck": 0.3}
DETECTION = {"AP50": AP, "AP": AP, "mAP50": 0.36, "mAP": 0.2}
IOU = {"car stop": 0.25, "color cone": None}


@pytest.fixture
def store(tmp_path: Path, mlflow_template: SimpleNamespace) -> Store:
    made = Store(tmp_path / "store")
    shutil.copy(mlflow_template.path, made.root / "mlflow.db")
    return made


@pytest.fixture
def spec() -> ExperimentSpec:
    return load_experiment("smoke", {"seeds": [0, 1], "segmentation": None, "paper": {}})


def plan_of(spec: ExperimentSpec) -> Plan:
    """Return a plan as the planner makes it, of stages that can be finished by hand."""
    cells = []
    assert spec.detection is not None
    told = spec.detection.dataset.model_dump(mode="json")
    told |= {"scenes": None, "root": "/data/smoke", "split": {"file": "/data/split.yaml"}}
    local = {"dataset": told}
    index = by_hand("index", 1, {"pairs": "x", "split": "0123456789"}, local=local)
    for method in spec.methods:
        fused = by_hand("fuse", 1, {"method": method.name})
        for seed in spec.seeds:
            inputs = {"fused": fused, "index": index}
            training = by_hand("train_detector", 1, {"seed": seed}, inputs)
            final = by_hand("detect", 1, {}, {"detector": training, **inputs})
            steps = (Step("fuse", (fused,)), Step("detect", (training, final)))
            cells.append(Cell(method, task_of("detection"), seed, steps))
    return Plan(spec, tuple(cells), ())


Finish = Callable[[Cell], None]


@pytest.fixture
def finish(store: Store) -> Finish:
    def finish(stage: Stage) -> None:
        if store.manifest(stage) is not None:
            return
        for source in stage.inputs.values():
            finish(source)
        with store.claim(stage, keep=False) as out:
            if stage.kind.name == "fuse":
                (out / "samples.png").write_bytes(b"png")
            if stage.kind.name == "detect":
                (out / "samples").mkdir()
                (out / "samples" / "a.png").write_bytes(b"png")
                (out / "predictions.json").write_text("[]")
                (out / "curves.json").write_text('{"recall": [0, 1], "precision": {"Car": [1, 0]}}')
            store.commit(stage, facts(metrics=DETECTION, digest=stage.key))

    return lambda cell: finish(cell.result)


def client(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking_uri(store))


def runs(store: Store) -> tuple[Run, list[Run]]:
    """Return the parent run and its children."""
    found = client(store).get_experiment_by_name("fuse-then/smoke")
    assert found is not None
    every = list(client(store).search_runs([found.experiment_id]))
    (parent,) = [run for run in every if run.data.tags["fuse_then.kind"] == "experiment"]
    children = [run for run in every if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} <= {parent.info.run_id}
    return parent, children


def files(store: Store, run: Run, folder: str | None = None) -> set[str]:
    found: set[str] = set()
    for item in client(store).list_artifacts(run.info.run_id, folder):
        found |= files(store, run, item.path) if item.is_dir else {item.path}
    return found


def sync(plan: Plan, store: Store) -> None:
    page = store.root / "reports" / "smoke.html"
    Tracker(plan, store).publish(read_results(plan, store), tables_of(plan, store), page)


def follow(plan: Plan, store: Store) -> None:
    tracker = Tracker(plan, store)
    tracker.connect()
    tracker.follow(plan.cells)


def test_the_first_start_prints_nothing(mlflow_template: SimpleNamespace) -> None:
    assert mlflow_template.printed == ""


def test_one_parent_and_a_child_per_finished_cell(
    store: Store, spec: ExperimentSpec, finish: Finish, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(spec)
    for cell in plan.cells:
        finish(cell)
    sync(plan, store)
    parent, children = runs(store)
    assert parent.info.status == "FINISHED"
    assert len(children) == 4
    assert {run.info.status for run in children} == {"FINISHED"}
    tags = {(run.data.tags["method"], run.data.tags["seed"]) for run in children}
    assert tags == {(m.row, s) for m in spec.methods for s in ("0", "1")}
    assert parent.data.metrics["table/mAP50/visible"] == pytest.approx(0.36)
    assert "table/mAP50/LKC-FUNet -tiny-" in parent.data.metrics
    tables = {f"tables/detection.{s}" for s in ("md", "csv", "json")}
    assert files(store, parent) == {*tables, "experiment.json"}
    assert capfd.readouterr() == ("", "")


def test_a_child_tells_params_metrics_data_and_files(
    store: Store, spec: ExperimentSpec, finish: Finish
) -> None:
    plan = plan_of(spec)
    finish(plan.cells[1])
    follow(plan, store)
    _, (run,) = runs(store)
    metrics = run.data.metrics
    assert metrics["mAP50"] == pytest.approx(0.36)
    assert metrics["mAP50-95"] == pytest.approx(0.2)
    assert metrics["AP50/People"] == metrics["AP50-95/People"] == pytest.approx(0.5)
    assert "AP50/Bus" not in metrics
    assert metrics["system/seconds"] == pytest.approx(7.5)
    params = run.data.params
    assert (params["method"], params["seed"], params["task"]) == ("visible", "1", "detection")
    assert (params["task.epochs"], params["dataset"]) == ("1", "smoke-detection")
    assert run.data.tags["fuse_then.commit"] == "abc"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    shown = {data.dataset.name: data for data in run.inputs.dataset_inputs}
    assert shown.keys() == {"smoke-detection/train", "smoke-detection/test"}
    assert {data.dataset.source for data in shown.values()} == {'{"uri": "/data/smoke"}'}
    (tag,) = shown["smoke-detection/test"].tags
    assert (tag.key, tag.value) == ("mlflow.data.context", "evaluation")
    assert files(store, run) == {
        "fuse/samples.png",
        "fuse/manifest.json",
        "train_detector/manifest.json",
        "detect/samples/a.png",
        "detect/precision_recall.png",
        "detect/manifest.json",
    }


def test_a_second_sync_adds_nothing(store: Store, spec: ExperimentSpec, finish: Finish) -> None:
    plan = plan_of(spec)
    for cell in plan.cells[:3]:
        finish(cell)
    sync(plan, store)
    parent, before = runs(store)
    assert parent.info.status == "FAILED"  # a cell is missing
    sync(plan, store)
    again, after = runs(store)
    assert again.info.run_id == parent.info.run_id
    assert {r.info.run_id: r.info.end_time for r in after} == {
        r.info.run_id: r.info.end_time for r in before
    }
    history = client(store).get_metric_history(parent.info.run_id, "table/mAP50/visible")
    assert len(history) == 1
    finish(plan.cells[3])
    sync(plan, store)
    parent, children = runs(store)
    assert parent.info.status == "FINISHED"
    assert len(children) == 4


def test_a_part_of_an_experiment_shares_its_parent(
    store: Store, spec: ExperimentSpec, finish: Finish
) -> None:
    whole = plan_of(spec)
    for cell in whole.cells:
        finish(cell)
    sync(Plan(spec, whole.cells[:1], ()), store)
    parent, (child,) = runs(store)
    sync(whole, store)
    again, children = runs(store)
    assert again.info.run_id == parent.info.run_id
    assert child.info.run_id in {run.info.run_id for run in children}
    assert len(children) == 4


def test_an_interrupted_log_is_completed(
    store: Store, spec: ExperimentSpec, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(spec)
    finish(plan.cells[0])

    def crash(self: CellRun, store: Store) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CellRun, "files", crash)
        with pytest.raises(KeyboardInterrupt):
            follow(plan, store)
    _, (run,) = runs(store)
    assert run.info.status == "RUNNING"
    follow(plan, store)
    _, (again,) = runs(store)
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert "detect/samples/a.png" in files(store, again)


def test_nothing_is_opened_while_nothing_is_finished(tmp_path: Path, spec: ExperimentSpec) -> None:
    store = Store(tmp_path / "empty")
    plan = plan_of(spec)
    Tracker(plan, store).follow(plan.cells)
    assert not (store.root / "mlflow.db").exists()


def test_the_address_is_the_users_or_a_file_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    assert tracking_uri(store) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking_uri(store) == "http://tracker:5000"


def test_segmentation_scores_have_names_of_their_own() -> None:
    metrics: dict[str, Any] = {"miou": 0.5, "miou_foreground": 0.4, "iou": IOU}
    logged = task_of("segmentation").logged(metrics)
    assert {name: value for name, value in logged.items() if value is not None} == {
        "mIoU": 0.5,
        "mIoU_foreground": 0.4,
        "IoU/car stop": 0.25,
    }


def test_quality_metrics_are_logged_in_their_own_units() -> None:
    metrics: dict[str, Any] = {"metrics": {"SD": {"mean": 46.5, "n": 3}, "SCD": {"mean": None}}}
    assert task_of("scoring").logged(metrics) == {"SD": 46.5, "SCD": None}


def test_the_parent_shows_every_column_of_scores_and_their_ranks(
    store: Store, finish_scores: Callable[[], Plan]
) -> None:
    plan = finish_scores()
    sync(plan, store)
    parent, children = runs(store)
    assert {run.data.metrics["SD"] for run in children} == {30.0, 40.0}
    assert parent.data.metrics["table/SD/average"] == 30.0
    assert parent.data.metrics["table/mean rank/maximum"] == 1.0
    assert {"tables/scoring.csv", "tables/scoring-ranks.png"} <= files(store, parent)


@pytest.fixture
def finish_scores(store: Store) -> Callable[[], Plan]:
    """Return a plan of two scored methods, finished by hand."""

    def make() -> Plan:
        dataset = {"name": "d", "layout": "pairs", "root": "/d"}
        changes = {"detection": None, "segmentation": None, "methods": ["average", "maximum"]}
        scoring = {"dataset": dataset, "metrics": ["SD"]}
        spec = load_experiment("smoke", {**changes, "scoring": scoring})
        cells = []
        for method, sd in zip(spec.methods, (30.0, 40.0), strict=True):
            local = {"dataset": {**dataset, "infrared": "infrared", "classes": []}}
            index = by_hand("index", 1, {}, local=local)
            stage = by_hand("score", 1, {"method": method.name}, {"index": index})
            if not store.is_finished(index):
                commit(store, index)
            with store.claim(stage, keep=False) as out:
                write_scores(out / SCORES, ["a", "b"], ["SD"], np.array([[sd], [sd]]))
                entries = {"metrics": {"SD": {"mean": sd, "ci95": None, "n": 2}}}
                store.commit(stage, facts(metrics=entries, seconds=1.0))
            cells.append(Cell(method, task_of("scoring"), 0, (Step("score", (stage,)),)))
        return Plan(spec, tuple(cells), ())

    return make


def test_names_are_those_that_mlflow_takes() -> None:
    assert metric_name("AP50/Car Stop") == "AP50/Car Stop"
    assert metric_name("mAP50/LKC-FUNet (tiny), 50%") == "mAP50/LKC-FUNet -tiny-- 50-"
