"""The product in six flows: train a fusion method, fuse a dataset, then detect, segment, score.

    train network --> fuse every pair --> train YOLOv5 ----> test --> AP per class --+--> tables,
                                     +--> train DeepLabV3 -> test --> IoU per class -+    report,
                                     +--> score against both sources --> SD, AG, ... +    MLflow

Prefect schedules and shows; the store on disk remembers (`pipelines.store`). What a chain of an
experiment consists of is decided in `pipelines.planning`; a task (`pipelines.work`) makes one step
of it for one method: it answers "Cached" when the step's stages are finished, and otherwise makes
them in a subprocess on one leased device (`pipelines.execution`). A step that fails stops its own
chain only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact

from pipelines.execution.dispensable import PREFECT, dispensable
from pipelines.execution.faults import spared
from pipelines.execution.worker import StageFailed
from pipelines.planning.memory import remember
from pipelines.planning.plan import Plan
from pipelines.results.comparison import KEPT, Comparison, RunFailed
from pipelines.results.rounds.reading import results_so_far
from pipelines.results.rounds.running import rounds
from pipelines.results.tables import experiment_evidence
from pipelines.results.undersampled import disturbed_tables
from pipelines.specs.experiment import ExperimentSpec
from pipelines.store.store import Store
from pipelines.tasks.task import Task, task_of, tasks
from pipelines.views.formats import render
from pipelines.views.report.page import is_torn, write_report
from pipelines.views.tracking.tracker import Tracker
from pipelines.views.tracking.view import View
from pipelines.work import Experiment, Overrides, Work

ARTIFACT = "The tables as they stood when the run ended; fuse-then table prints them again."


def _run_name() -> str:
    """Return the experiment's name: the flow's parameter, or what it holds."""
    experiment = runtime.flow_run.parameters["experiment"]
    return experiment.name if isinstance(experiment, ExperimentSpec) else str(experiment)


@flow(name="fuse-then-detect", flow_run_name=_run_name)
def fuse_then_detect(
    experiment: Experiment = "table4",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    hours: float | None = None,
    paranoid: bool = False,
) -> Comparison:
    """Train each fusion method, fuse the dataset, train YOLOv5 on it, and tabulate AP."""
    work = Work(store, devices, jobs, skip_blocked, hours, paranoid)
    return run_experiment(work, experiment, overrides, (task_of("detection"),))


@flow(name="fuse-then-segment", flow_run_name=_run_name)
def fuse_then_segment(
    experiment: Experiment = "table5",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    hours: float | None = None,
    paranoid: bool = False,
) -> Comparison:
    """Train each fusion method, fuse the dataset, train DeepLabV3 on it, and tabulate IoU."""
    work = Work(store, devices, jobs, skip_blocked, hours, paranoid)
    return run_experiment(work, experiment, overrides, (task_of("segmentation"),))


@flow(name="fuse-then-score", flow_run_name=_run_name)
def fuse_then_score(
    experiment: Experiment = "table3",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    paranoid: bool = False,
) -> Comparison:
    """Train each fusion method, fuse the dataset, and tabulate how good the images look."""
    work = Work(store, devices, jobs, skip_blocked, paranoid=paranoid)
    return run_experiment(work, experiment, overrides, (task_of("scoring"),))


@flow(name="reconstruct-then-fuse", flow_run_name=_run_name)
def reconstruct_then_fuse(
    experiment: Experiment = "reconstruct-real",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    paranoid: bool = False,
) -> Comparison:
    """Undersample and reconstruct the MRI, fuse it, and tabulate what that costs each method."""
    work = Work(store, devices, jobs, skip_blocked, paranoid=paranoid)
    return run_experiment(work, experiment, overrides, (task_of("scoring"),))


@flow(name="compare", flow_run_name=_run_name)
def compare(
    experiment: Experiment = "demo",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    hours: float | None = None,
    paranoid: bool = False,
) -> Comparison:
    """Do all: every method's fused images are made once and serve every task."""
    work = Work(store, devices, jobs, skip_blocked, hours, paranoid)
    return run_experiment(work, experiment, overrides, tasks())


@flow(name="train-fusion", flow_run_name=_run_name)
def train_fusion(
    experiment: Experiment = "demo",
    overrides: Overrides | None = None,
    store: str | None = None,
    devices: str | None = None,
    jobs: int | None = None,
    skip_blocked: bool = False,
    paranoid: bool = False,
) -> list[Path]:
    """Train the fusion networks of an experiment, and nothing else; return their weights."""
    work = Work(store, devices, jobs, skip_blocked, paranoid=paranoid)
    with work.live():
        plan = work.plan(experiment, overrides, tasks())
        remember(plan, work.store)
        first = next(rounds(plan, work.store))
        chains = [cell.trainings for cell in first if cell.trains_fusion]
        failures = work.run(plan, chains)
        last = [chain[-1].stages[-1] for chain in chains]
    if failures:
        raise StageFailed("\n".join([*failures, KEPT]))
    return sorted({work.store.directory(stage) / "weights.pt" for stage in last})


def run_experiment(
    work: Work,
    experiment: Experiment,
    overrides: Overrides | None,
    wanted: Iterable[Task],
    track: Callable[[Plan, Store], Tracker] = Tracker,
) -> Comparison:
    """Plan, run what is missing, tabulate, write the page, and publish all to MLflow.

    Raises InputError before any training when anything is wrong, and RunFailed at the end when
    a cell failed: by then everything else is done and tabulated.
    """
    with work.live():
        plan = work.plan(experiment, overrides, wanted)
        remember(plan, work.store)
        tracker = View(track(plan, work.store), work.screen.say)
        tracker.prepare()
        failures = []
        for cells in rounds(plan, work.store, work.budget, work.screen.say):
            follow = partial(tracker.follow, cells)
            failures += work.run(plan, [cell.steps for cell in cells], follow)
        if plan.upstream:
            failures += work.run(plan, plan.upstream)
        results = results_so_far(plan, work.store)
        if sweeps := results.plan.runnable_sweeps(work.store):
            failures += work.run(plan, [[step] for step in sweeps])
            results = results_so_far(plan, work.store)
        evidence = experiment_evidence(results)
        page = work.store.root / "reports" / f"{plan.experiment.name}.html"
        torn = is_torn(page)
        if torn:
            work.screen.say(f"  broken  {page} does not end as it was written; it is made again")
        if torn or not tracker.published(results):
            with spared("the report", work.screen.say, page):
                write_report(results, evidence, work.screen, page)
        disturbed = tuple(disturbed_tables(results))
        comparison = Comparison(results, evidence, disturbed, page, tuple(failures))
        tracker.publish(results, comparison.tables, page)
        if runtime.flow_run.id:
            with dispensable(PREFECT, "fuse-then table prints the tables.", _warn):
                show_tables(comparison)
    if failures:
        raise RunFailed(comparison)
    return comparison


def _warn(text: str) -> None:
    get_run_logger().warning(text)


def show_tables(comparison: Comparison) -> None:
    """Show the tables on the page of Prefect's flow run."""
    markdown = "\n\n".join(render(table, "md") for table in comparison.tables)
    key = artifact_key(comparison.results.plan)
    create_markdown_artifact(markdown, key=key, description=ARTIFACT)


def artifact_key(plan: Plan) -> str:
    """Return the Prefect artifact's key: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"table-{plan.experiment.name}".lower()).strip("-")
