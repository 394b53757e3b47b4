"""The whole house on the smoke experiment: once whole, once cached, once failing, once killed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
from stand_ins import no_report

from pipelines import work as steps
from pipelines.cli.app import main
from pipelines.execution.runner import Step, make_step
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.results.finished import read_results
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store, open_store
from pipelines.tasks.task import tasks
from pipelines.views.pictures import write_sheets

METHODS = ["visible", "LKC-FUNet (tiny)"]
DEADLINE_SECONDS = 240.0
"""For what is polled; only a machine that is much too busy comes near it."""

PLANTED = (
    *("USER", "LOGNAME", "EMAIL", "GIT_AUTHOR_NAME", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"),
    *("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "ANYTHING"),
)
"""Variables whose values nothing that is left may hold."""

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Run:
    """A finished command: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def tables(self) -> str:
        """The printed tables, without the paths and hints beneath them."""
        return self.out.split("\nPictures ")[0]


def fuse_then(*words: str) -> Run:
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return Run(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Finished:
    """A store in which the smoke experiment is finished, and the run that made it."""

    store: Path
    first: Run

    def copy(self, to: Path) -> Path:
        """Return a copy of the store, with its modification times."""
        shutil.copytree(self.store, to, symlinks=True)
        return to


@pytest.fixture(scope="module")
def finished(prefect_harness: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the experiment once; every test starts from here."""
    store = tmp_path_factory.mktemp("smoke") / "store"
    with pytest.MonkeyPatch.context() as planted:
        for name in PLANTED:
            planted.setenv(name, f"planted-{name}")
        run = fuse_then("compare", "smoke", "--store", str(store))
    assert run.code == 0, run.err
    return Finished(store, run)


def manifests(store: Path) -> dict[str, int]:
    """Return when each finished stage's manifest was written."""
    found = (store / "stages").glob("*/*/manifest.json")
    return {f"{p.parent.parent.name}/{p.parent.name}": p.stat().st_mtime_ns for p in found}


def digests(store: Path, kind: str) -> dict[str, str]:
    """Return the content digest of each finished stage of a kind."""
    found = (store / "stages" / kind).glob("*/manifest.json")
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in found}


def plan_of(store: Path) -> tuple[Plan, Store]:
    opened = open_store(store)
    plan = make_plan(load_experiment("smoke"), opened, tasks(), no_report)
    return plan, opened


def forget(store: Path, method: str, task: str) -> set[str]:
    """Take a cell's training and its result out of a store; return the stages' titles."""
    plan, opened = plan_of(store)
    (cell,) = [cell for cell in plan.cells if (cell.method.row, cell.task.name) == (method, task)]
    gone = cell.steps[-1].stages
    for stage in gone:
        shutil.rmtree(opened.directory(stage))
    return {stage.title for stage in gone}


def wait_for(what: str, ask: Callable[[], Any]) -> Any:
    """Poll until `ask` returns something true, and return that."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (answer := ask()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {DEADLINE_SECONDS:.0f} s")
        time.sleep(0.1)
    return answer


def test_pictures_are_gathered_under_readable_names(finished: Finished) -> None:
    folder = finished.store / "results" / "smoke"
    names = {path.name for path in folder.iterdir() if path.exists()}
    assert {"visible-fuse-samples.png", "visible-segment-seed0-confusion.png"} <= names
    assert "visible-detect-seed0-precision_recall.png" in names
    assert any(name.startswith("visible-detect-seed0-0") for name in names)  # drawn boxes
    assert "comparison-smoke-detection.png" in names  # the segmenter sees the same images


def test_the_report_is_written_and_shown_in_mlflow(finished: Finished) -> None:
    from mlflow import MlflowClient

    page = finished.store / "reports" / "smoke.html"
    assert f"Report      {page}" in finished.first.out
    html = page.read_text(encoding="utf-8")
    assert "4 of 4 cells finished" in html
    assert "fuse-then compare smoke" in html or "fuse-then detect smoke" in html
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fuse-then/smoke")
    assert experiment is not None
    (parent,) = client.search_runs(
        [experiment.experiment_id], "tags.`fuse_then.kind` = 'experiment'"
    )
    assert [f.path for f in client.list_artifacts(parent.info.run_id, "report")] == [
        "report/smoke.html"
    ]


def test_a_comparison_sheet_is_drawn_once(finished: Finished) -> None:
    plan, store = plan_of(finished.store)
    folder = finished.store / "results" / "smoke"
    drawn = sorted((finished.store / "sheets").iterdir())
    before = [path.stat().st_mtime_ns for path in drawn]
    sheets = write_sheets(read_results(plan, store), folder)
    assert {sheet.resolve() for sheet in sheets} == {path.resolve() for path in drawn}
    assert [path.stat().st_mtime_ns for path in drawn] == before
    height, width = cv2.imread(str(sheets[0])).shape[:2]
    assert width > 3 * 160  # infrared, visible and the one method that fuses
    assert height > width / 2


def test_both_tables_are_complete(finished: Finished) -> None:
    printed = fuse_then("table", "smoke", "--store", str(finished.store), "--format", "json")
    tables = json.loads(printed.out)
    assert [table["task"] for table in tables] == ["detection", "segmentation"]
    for table in tables:
        assert [row["label"] for row in table["rows"]] == METHODS
        assert [row["finished"] for row in table["rows"]] == [1, 1]
        assert table["title"] in finished.first.out
        mean = table["columns"].index("mAP50" if table["task"] == "detection" else "mIoU")
        assert all(0 <= row["values"][mean]["mean"] <= 100 for row in table["rows"])


def test_fused_images_are_made_once_and_serve_both_tasks(finished: Finished) -> None:
    plan, store = plan_of(finished.store)
    assert len(digests(finished.store, "fuse")) == len(METHODS)
    for method in METHODS:
        cells = [cell for cell in plan.cells if cell.method.row == method]
        assert sorted(cell.task.name for cell in cells) == ["detection", "segmentation"]
        made = [store.manifest(cell.steps[-1].stages[0]) for cell in cells]
        assert len({manifest.inputs["fused"].key for manifest in made if manifest}) == 1


def test_scoring_joins_in_on_the_same_fused_images(finished: Finished, tmp_path: Path) -> None:
    store = finished.copy(tmp_path / "store")
    before = manifests(store)
    scoring = "scoring={dataset: smoke-segmentation, metrics: [SD, MSE]}"
    run = fuse_then("score", "smoke", "--store", str(store), "--set", scoring)
    assert run.code == 0, run.err
    assert "smoke: scoring on smoke-segmentation, image quality" in run.out
    assert "segmentation on" not in run.tables
    made = manifests(store).keys() - before.keys()
    assert [title.split("/")[0] for title in made] == ["score"] * len(METHODS)
    names = {path.name for path in (store / "results" / "smoke").iterdir()}
    assert {"scoring-ranks.png", "scoring-ranks.json"} <= names


def test_mlflow_shows_a_parent_with_one_child_per_cell(finished: Finished) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{finished.store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fuse-then/smoke")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    shown = {(run.data.params["method"], run.data.params["task"]): run for run in children}
    plan, store = plan_of(finished.store)
    assert len(children) == len(plan.cells) == len(shown) == 4
    for cell in plan.cells:
        manifest = store.manifest(cell.result)
        assert manifest is not None
        metrics = shown[cell.method.row, cell.task.name].data.metrics
        ours, theirs = ("mAP50", "mAP50") if cell.task.name == "detection" else ("mIoU", "miou")
        assert metrics[ours] == pytest.approx(manifest.metrics[theirs])


def test_a_second_run_is_cached_and_prints_the_same_tables(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse(step: Step, *_: object) -> None:
        raise AssertionError(f"{step.title} is finished, and was to be made again")

    monkeypatch.setattr(steps, "make_step", refuse)
    before = manifests(finished.store)
    run = fuse_then("compare", "smoke", "--store", str(finished.store))
    assert run.code == 0, run.err
    assert run.tables == finished.first.tables
    assert manifests(finished.store) == before
    # train and fuse LKC-FUNet, fuse visible, and a detector and a segmenter for each
    assert wait_for("seven task runs", states_of_last_flow_run) == {"Cached": 7}


def states_of_last_flow_run() -> Counter[str] | None:
    """Return how its seven tasks ended, once the server has recorded them all."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        newest = FlowRunSort.EXPECTED_START_TIME_DESC
        (flow_run,) = client.read_flow_runs(sort=newest, limit=1)
        only = FlowRunFilter.model_validate({"id": {"any_": [flow_run.id]}})
        runs = client.read_task_runs(flow_run_filter=only)
    ended = [run.state for run in runs if run.state is not None and run.state.is_final()]
    return Counter(str(state.name) for state in ended) if len(ended) == 7 else None


def test_a_failing_cell_stops_no_sibling_and_the_next_run_completes_it(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = finished.copy(tmp_path / "store")
    sibling = forget(store, METHODS[0], "detection")
    victim = forget(store, METHODS[1], "segmentation")
    failing = f"segment on {METHODS[1]} (seed 0)"

    def no_time(step: Step, store: Store, slots: Any, timeout: float, report: Any) -> None:
        make_step(step, store, slots, 0.0 if step.title == failing else timeout, report)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "make_step", no_time)
        kept = manifests(store)
        run = fuse_then("compare", "smoke", "--store", str(store))
    assert run.code == 1
    assert f"{failing}: The stage ran out of its time" in run.err
    assert "run again to go on" in run.err
    assert "..." in next(x for x in reversed(run.out.splitlines()) if x.startswith(METHODS[1]))
    after = manifests(store)
    assert after.keys() - kept.keys() == sibling

    run = fuse_then("compare", "smoke", "--store", str(store))
    assert run.code == 0, run.err
    assert run.tables == finished.first.tables
    completed = manifests(store)
    assert completed.keys() - after.keys() == victim
    assert {title: completed[title] for title in after} == after
    assert digests(store, "detect") == digests(finished.store, "detect")
    assert digests(store, "segment") == digests(finished.store, "segment")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_a_killed_run_leaves_no_process_and_is_continued_by_the_next(
    finished: Finished, tmp_path: Path
) -> None:
    from prefect.settings import PREFECT_API_URL

    store = finished.copy(tmp_path / "store")
    gone = forget(store, METHODS[0], "detection")
    kept = manifests(store)
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "FUSE_THEN_STORE": str(store),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli.app", "compare", "smoke"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for("the detector's training", lambda: in_training(process, store, log.name))
        assert len(processes_on(store)) >= 2  # the run and its worker
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for("the end of the worker", lambda: not processes_on(store))
    # at once, not only at the end of its epoch, when it would find nobody to tell
    assert not any((store / "partial").glob("train_detector-*/run/results.csv"))
    assert manifests(store) == kept

    run = fuse_then("compare", "smoke", "--store", str(store))
    assert run.code == 0, run.err
    assert run.tables == finished.first.tables
    completed = manifests(store)
    assert completed.keys() - kept.keys() == gone
    assert {title: completed[title] for title in kept} == kept
    assert digests(store, "detect") == digests(finished.store, "detect")


def in_training(process: subprocess.Popen[bytes], store: Path, log: str) -> bool:
    """Whether the detector's first epoch has begun; fails the test when the run has ended."""
    if process.poll() is not None:
        pytest.fail(f"the run ended before it could be killed: {Path(log).read_text()}")
    return any((store / "partial").glob("train_detector-*/run/args.yaml"))


def processes_on(store: Path) -> list[int]:
    """Every living process that was given FUSE_THEN_STORE, whoever started it."""
    mark = f"FUSE_THEN_STORE={store}".encode()
    found = []
    for place in Path("/proc").iterdir():
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:  # not ours to read, or gone meanwhile; zombies have none
            continue
    return found


def test_nothing_of_the_environment_is_left_behind(finished: Finished) -> None:
    files = [path for path in finished.store.rglob("*") if path.is_file()]
    files += [path for path in Path(os.environ["PREFECT_HOME"]).rglob("*") if path.is_file()]
    assert {"manifest.json", "mlflow.db", "smoke.html", "log.txt"} <= {path.name for path in files}
    holding = [path for path in files if b"planted-" in path.read_bytes()]
    assert not holding
    assert "planted-" not in finished.first.out + finished.first.err
    page = (finished.store / "reports" / "smoke.html").read_text(encoding="utf-8")
    assert str(finished.store.parent) not in page
