"""The product in six flows: train a fusion method, fuse a dataset, then detect, segment, score.

    train network --> fuse every pair --> train YOLOv5 ----> test --> AP per class --+--> tables,
                                     +--> train DeepLabV3 -> test --> IoU per class -+    report,
                                     +--> score against both sources --> SD, AG, ... +    MLflow

Prefect schedules and shows; the store on disk remembers (`pipelines.store`). What a chain of an
experiment consists of is decided in `pipelines.planning`; a task here makes one step of it for one
method: it answers "Cached" when the step's stages are finished, and otherwise makes them in a
subprocess on one leased device (`pipelines.execution`). A step that fails stops its own chain only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.futures import PrefectConcurrentFuture, PrefectFuture, as_completed
from prefect.states import Completed, Failed, Pending
from prefect.utilities.annotations import quote
from pydantic import WithJsonSchema

from fusion.errors import InputError
from pipelines.execution.devices import slots
from pipelines.execution.dispensable import PREFECT, dispensable
from pipelines.execution.faults import NoRoom, spared
from pipelines.execution.progress import Screen
from pipelines.execution.runner import Step, make_step, refusals_told
from pipelines.execution.stopping import check as check_not_stopped
from pipelines.execution.stopping import stoppable
from pipelines.execution.usage import silence_seconds
from pipelines.execution.worker import StageFailed
from pipelines.planning.cost.room import RoomAhead
from pipelines.planning.memory import remember
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.results.comparison import KEPT, Comparison, RunFailed
from pipelines.results.rounds.reading import results_so_far
from pipelines.results.rounds.running import Budget, rounds
from pipelines.results.tables import experiment_evidence
from pipelines.results.undersampled import disturbed_tables
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store, open_store
from pipelines.tasks.task import Task, task_of, tasks
from pipelines.views.formats import render
from pipelines.views.report.page import is_torn, write_report
from pipelines.views.tracking.tracker import Tracker
from pipelines.views.tracking.view import View

Overrides = dict[str, Any]
Experiment = Annotated[str | ExperimentSpec, WithJsonSchema({"type": "string"})]
"""A name, a YAML file, or what has been loaded from one; a deployment is asked for text."""
SKIP = "The other methods run with --skip-blocked."
LISTED = (
    "--hours limits how long seeds are raced, and this experiment has a list of them; race them "
    'with --set "seeds={at_least: 2, at_most: 10, until: decided}", or leave --hours out.'
)
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


@task(cache_policy=NO_CACHE, task_run_name="{title}")
def make(title: str, step: Step, work: Work, timeout_seconds: float) -> State[None]:
    """Make one step's missing stages, in a subprocess on a leased device."""
    if step.cached(work.store):
        return Completed(name="Cached", message=f"{title}: nothing to do")
    work.room.check(step)
    with work.screen.step(title) as report:
        make_step(step, work.store, work.slots, timeout_seconds, report)
    work.screen.say(f"  done  {title}")
    if runtime.task_run.id:
        get_run_logger().info("done: %s", title)
    return Completed(message=f"{title}: done")


class Work:
    """Where a flow run works: store, devices, screen, and the steps under way.

    With `skip_blocked` cells that cannot run are left out as long as there are others; within
    `hours` rounds of raced seeds are begun; `paranoid` reads every finished file before its use.
    """

    def __init__(
        self,
        store: str | None,
        devices: str | None,
        jobs: int | None,
        skip_blocked: bool = False,
        hours: float | None = None,
        paranoid: bool = False,
    ) -> None:
        self.skip_blocked = skip_blocked
        self.screen = Screen()
        silence_seconds()  # what is wrong with it is told before any training
        self.store = open_store(store, paranoid=paranoid)
        self.store.say = self.screen.say
        self.slots = slots(devices, jobs)
        self.budget = Budget(hours, len(self.slots))
        self.room = RoomAhead(self.store)
        self._begun = False

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show progress while the block runs, and hear Ctrl-C and SIGTERM."""
        with stoppable(self.screen.say), self.screen.live(), refusals_told(self.store.root):
            yield

    def plan(
        self, experiment: Experiment, overrides: Overrides | None, wanted: Iterable[Task]
    ) -> Plan:
        """Resolve and check everything; raises InputError, one sentence a problem."""
        if isinstance(experiment, str):
            experiment = load_experiment(experiment, overrides)
        if self.budget.hours is not None and experiment.race is None:
            raise InputError(LISTED)
        plan = make_plan(experiment, self.store, wanted, self.screen.reporter())
        reasons = "\n".join(dict.fromkeys(why for _, why in plan.blocked))
        if plan.blocked and not (self.skip_blocked and plan.cells):
            raise InputError(f"{reasons}\n{SKIP}" if plan.cells else reasons)
        for title, why in plan.blocked:
            self.screen.say(f"  left out  {title}: {why}")
        return plan

    def run(
        self,
        plan: Plan,
        chains: Sequence[Sequence[Step]],
        on_done: Callable[[], None] | None = None,
    ) -> list[str]:
        """Run chains of steps, shared steps once, and return a line for each that failed.

        A chain ends at the step that fails; the other chains go on. Raises NoRoom where the
        run's first chains will not fit on the disk.
        """
        lacking = self.room.lacking(step for chain in chains for step in chain)
        if lacking is not None and self._begun:
            return [f"{lacking}."]
        if lacking is not None:
            raise NoRoom(lacking)
        self._begun = True
        seconds = plan.experiment.timeout_hours * 3600
        futures: dict[str, PrefectFuture[Any]] = {}
        titles: dict[str, str] = {}
        submit: Any = _submit_plainly if runtime.flow_run.id is None else make.submit
        for chain in chains:
            before: list[PrefectFuture[Any]] = []
            for step in chain:
                key = step.stages[-1].title
                titles[key] = step.title
                if key not in futures:
                    # quote: Prefect shall not search the step for futures, there are none in it
                    futures[key] = submit(step.title, quote(step), self, seconds, wait_for=before)
                before = [*before, futures[key]]
        for _ in as_completed(list(futures.values())):
            check_not_stopped()
            if on_done is not None:
                on_done()
        outcomes = {key: _failure(future) for key, future in futures.items()}
        return list(_lines({titles[key]: why for key, why in outcomes.items() if why is not None}))


def _submit_plainly(
    title: str,
    step: Any,
    work: Work,
    seconds: float,
    wait_for: Sequence[PrefectFuture[Any]],
) -> PrefectFuture[Any]:
    """Make a step in a thread as Prefect's tasks do, where there is no Prefect to be told."""

    def outcome() -> State[Any]:
        for future in wait_for:
            future.wait()
        if not all(future.state.is_completed() for future in wait_for):
            return Pending(name="NotReady")
        try:
            return make.fn(title, step.unquote(), work, seconds)
        except Exception as error:
            return Failed(data=error)

    pool = ThreadPoolExecutor(max_workers=1)
    future = PrefectConcurrentFuture[Any](uuid4(), pool.submit(outcome))
    pool.shutdown(wait=False)  # its thread ends after the step
    return future


def _failure(future: PrefectFuture[Any]) -> str | None:
    """Return why a step failed; None when it did not, or when only a step before it did."""
    # Else the state would be asked of the server, one request a step, which may not yet have
    # heard that a step has failed.
    future.wait()
    state = future.state
    if state.is_completed() or not state.is_final():  # "NotReady": a step before it failed
        return None
    result = future.result(raise_on_failure=False)
    return str(result) if isinstance(result, Exception) else str(state.message or state.name)


def _warn(text: str) -> None:
    get_run_logger().warning(text)


def _lines(failures: Mapping[str, str]) -> Iterator[str]:
    """Yield each reason once, with the steps that it is of."""
    for why in dict.fromkeys(failures.values()):
        titles = [title for title, own in failures.items() if own == why]
        more = f" (and {len(titles) - 3} more)" if titles[3:] else ""
        yield f"{', '.join(titles[:3])}{more}: {why}"


def show_tables(comparison: Comparison) -> None:
    """Show the tables on the page of Prefect's flow run."""
    markdown = "\n\n".join(render(table, "md") for table in comparison.tables)
    key = artifact_key(comparison.results.plan)
    create_markdown_artifact(markdown, key=key, description=ARTIFACT)


def artifact_key(plan: Plan) -> str:
    """Return the Prefect artifact's key: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"table-{plan.experiment.name}".lower()).strip("-")
