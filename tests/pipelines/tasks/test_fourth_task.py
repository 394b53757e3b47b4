"""A fourth task is one file: nothing else has to be told of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import presence
import pytest
from made_report import Tree
from mlflow import MlflowClient
from stand_ins import no_report

from fusion.errors import InputError
from pipelines import flows
from pipelines.cli.app import main
from pipelines.execution.devices import Slot
from pipelines.execution.progress import Screen
from pipelines.execution.runner import make_step
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.results.comparison import Comparison
from pipelines.results.conclusions.wording import ONE_TRAINING
from pipelines.results.finished import read_results
from pipelines.results.tables import experiment_evidence
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import register, task_of, tasks, unregister
from pipelines.views.report.page import write_report
from pipelines.views.tracking.tracker import Tracker

pytestmark = pytest.mark.process


@pytest.fixture
def fourth() -> Iterator[None]:
    register(presence.TASK)
    yield
    unregister("presence")


@pytest.fixture
def experiment(write_experiment: Callable[..., Path], scenes_root: Path) -> Path:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(scenes_root / "m3fd")}
    boxes |= {"split": {"file": str(scenes_root / "m3fd" / "split.yaml")}}
    methods = ["infrared", "visible", "average"]
    section = {"dataset": boxes, "threshold": 170}
    return write_experiment(
        methods=methods, seeds=[0, 1], detection=None, segmentation=None, presence=section
    )


@pytest.fixture
def store(tmp_path: Path, mlflow_template: SimpleNamespace) -> Store:
    store = Store(tmp_path / "store")
    shutil.copy(mlflow_template.path, store.root / "mlflow.db")
    return store


def finished(plan: Plan, store: Store, workers: SimpleNamespace) -> Comparison:
    """Make every step of a plan in the shared worker, then do as a run does at its end."""
    for cell in plan.cells:
        for step in cell.steps:
            make_step(step, store, [Slot("cpu", "a", 1)], 120, no_report(""), workers.start)
    results = read_results(plan, store)
    evidence = experiment_evidence(results)
    page = store.root / "reports" / "tiny.html"
    write_report(results, evidence, Screen(), page)
    comparison = Comparison(results, evidence, (), page, ())
    Tracker(plan, store).publish(results, comparison.tables, page)
    return comparison


def test_a_task_is_planned_run_tabulated_shown_and_logged(
    fourth: None,
    experiment: Path,
    store: Store,
    shared_worker: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = load_experiment(str(experiment))
    plan = make_plan(spec, store, tasks(), no_report, shared_worker.start)
    assert not plan.blocked
    assert [(c.method.row, c.task.name, c.seed) for c in plan.cells] == [
        (name, "presence", seed) for name in ("infrared", "visible", "average") for seed in (0, 1)
    ]
    assert len({c.result.key for c in plan.cells}) == 3  # nothing of it depends on a seed
    comparison = finished(plan, store, shared_worker)

    (evidence,) = comparison.evidence
    table = evidence.table
    assert (table.task, table.columns[-1]) == ("presence", presence.MEAN)
    assert "objects seen in percent" in table.title
    for one, row in zip(comparison.results.cells[::2], table.rows, strict=True):
        assert row.finished == 2
        for score, value in zip(one.scores, row.values, strict=True):
            if score is None:
                assert value is None
            else:
                assert value.mean == pytest.approx(100 * score)
                assert value.sd is None  # of one result
                low, high = value.ci95
                assert low <= value.mean <= high
    ours = [row.values[-1] for row in table.rows]
    means, widths = [v.mean for v in ours], [v.ci95[1] - v.ci95[0] for v in ours]
    assert len(set(means)) == 3  # else the threshold would compare nothing
    assert max(widths) > 0
    assert evidence.best in {"infrared", "visible", "average"}
    assert {d.column for d in evidence.differences} == {presence.MEAN}

    tree = Tree(comparison.page.read_text(encoding="utf-8"))
    assert "Presence on boxes, objects seen in percent" in tree.text
    assert f"{means[0]:.1f}" in tree.text
    assert "fuse-then compare" in tree.text
    assert ONE_TRAINING not in tree.text  # nothing was trained

    client = MlflowClient(f"sqlite:///{store.root / 'mlflow.db'}")
    (logged,) = [e for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([logged.experiment_id], "tags.task = 'presence'")
    assert {run.data.tags["method"]: run.data.metrics[presence.MEAN] for run in runs} == {
        one.cell.method.row: pytest.approx(one.headline) for one in comparison.results.cells
    }
    assert {run.data.params["task.threshold"] for run in runs} == {"170"}

    assert main(["plan", str(experiment), "--store", str(store.root)]) == 0
    assert "cached" in capsys.readouterr().out
    assert main(["table", str(experiment), "--store", str(store.root)]) == 0
    assert presence.MEAN in capsys.readouterr().out


def test_a_task_sets_its_own_settings(fourth: None, experiment: Path) -> None:
    with pytest.raises(InputError, match=r"presence\.threshold"):
        load_experiment(str(experiment), {"presence.threshold": 256})
    with pytest.raises(InputError, match=r'"presence.treshold" is unknown. Did you mean'):
        load_experiment(str(experiment), {"presence.treshold": 1})


def test_flows_and_commands_know_it_while_it_is_there(experiment: Path) -> None:
    register(presence.TASK)
    assert task_of("presence") in flows.tasks()
    unregister("presence")
    with pytest.raises(InputError, match="presence"):
        load_experiment(str(experiment))
