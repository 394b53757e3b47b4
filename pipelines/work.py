"""Where a flow runs: its store, devices and screen, and its steps under way, as Prefect's tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import uuid4

from prefect import get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.futures import PrefectConcurrentFuture, PrefectFuture, as_completed
from prefect.states import Completed, Failed, Pending
from prefect.utilities.annotations import quote
from pydantic import WithJsonSchema

from fusion.errors import InputError
from pipelines.execution.devices import slots
from pipelines.execution.faults import NoRoom
from pipelines.execution.progress import Screen
from pipelines.execution.runner import Step, make_step, refusals_told
from pipelines.execution.stopping import check as check_not_stopped
from pipelines.execution.stopping import stoppable
from pipelines.execution.usage import silence_seconds
from pipelines.planning.cost.room import RoomAhead
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.results.rounds.running import Budget
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.store import open_store
from pipelines.tasks.task import Task

Overrides = dict[str, Any]
Experiment = Annotated[str | ExperimentSpec, WithJsonSchema({"type": "string"})]
"""A name, a YAML file, or what has been loaded from one; a deployment is asked for text."""
SKIP = "The other methods run with --skip-blocked."
LISTED = (
    "--hours limits how long seeds are raced, and this experiment has a list of them; race them "
    'with --set "seeds={at_least: 2, at_most: 10, until: decided}", or leave --hours out.'
)


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


def _lines(failures: Mapping[str, str]) -> Iterator[str]:
    """Yield each reason once, with the steps that it is of."""
    for why in dict.fromkeys(failures.values()):
        titles = [title for title, own in failures.items() if own == why]
        more = f" (and {len(titles) - 3} more)" if titles[3:] else ""
        yield f"{', '.join(titles[:3])}{more}: {why}"
