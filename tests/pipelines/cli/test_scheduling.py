"""Whatever becomes of Prefect, a flow ends as its function does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas import State
from prefect.client.schemas.objects import StateType
from prefect.exceptions import CancelledRun
from prefect.states import Cancelling, Running

from fusion.errors import InputError
from pipelines import work as steps
from pipelines.cli.scheduling import cancelling
from pipelines.cli.scheduling.running import Flows, run_flow
from pipelines.execution import stopping
from pipelines.execution.stopping import Stopped, stoppable
from pipelines.execution.worker import StageFailed

# Prefect's threads stay in the process, and draw from the generator that trainings draw from.
pytestmark = pytest.mark.system

GONE = httpx.ConnectError("Connection refused")


class Flow:
    """A flow whose Prefect is lost "before" or "after" its function works, or never."""

    should_validate_parameters = True

    def __init__(self, fn: Callable[..., Any], lost: str = "") -> None:
        self.fn, self.lost = fn, lost

    def __call__(self, *given: Any, **asked: Any) -> Any:
        if self.lost == "before":
            raise GONE
        try:
            return self.fn(*given, **asked)
        finally:
            if self.lost == "after":
                raise GONE


def doubled(number: int, plus: int = 0) -> int:
    return 2 * number + plus


@pytest.mark.parametrize("lost", ["", "before", "after"])
def test_a_result_is_returned_wherever_prefect_is_lost(lost: str) -> None:
    said: list[str] = []
    assert run_flow(Flow(doubled, lost), said.append, 3, plus=1) == 7
    assert len(said) == (1 if lost else 0)
    assert all("Prefect: Connection refused; the work goes on" in line for line in said)


@pytest.mark.parametrize("lost", ["", "after"])
@pytest.mark.parametrize("error", [InputError("a bad file."), StageFailed("x"), OSError(28, "")])
def test_what_goes_wrong_in_the_work_is_raised(lost: str, error: Exception) -> None:
    def fails() -> None:
        raise error

    with pytest.raises(type(error)) as told:
        run_flow(Flow(fails, lost), pytest.fail)
    assert told.value is error


def test_work_that_prefect_breaks_off_is_done_without() -> None:
    tries: list[int] = []

    def breaks() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise GONE
        return "done"

    said: list[str] = []
    assert run_flow(Flow(breaks), said.append) == "done"
    assert len(said) == 1


def test_without_a_server_flows_are_functions() -> None:
    module: Any = SimpleNamespace(compare=Flow(doubled, "before"))
    assert Flows(module, False, pytest.fail).compare(2) == 4
    said: list[str] = []
    assert Flows(module, True, said.append).compare(2) == 4
    assert len(said) == 1


def test_without_prefect_a_chain_ends_at_the_step_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def make(title: str, step: str, work: object, seconds: float) -> State[None]:
        made.append(step)
        if title == "fails":
            raise StageFailed("no memory")
        return steps.Completed(message=title)

    monkeypatch.setattr(steps, "make", SimpleNamespace(fn=make))
    submit: Any = steps._submit_plainly
    first = submit("works", steps.quote("a"), None, 1.0, [])
    second = submit("fails", steps.quote("b"), None, 1.0, [first])
    third = submit("never", steps.quote("c"), None, 1.0, [first, second])
    every = list(steps.as_completed([first, second, third]))
    assert len(every) == 3
    assert made == ["a", "b"]
    assert [steps._failure(one) for one in (first, second, third)] == [None, "no memory", None]


class Client:
    """Prefect's, of a flow run whose states come one after another."""

    def __init__(self, *states: State) -> None:
        self.states = list(states)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_flow_run(self, _: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=self.states.pop(0))


def test_the_cancel_button_stops_a_run_as_sigterm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(Running(), Cancelling())
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(uuid4()))
    monkeypatch.setattr("prefect.client.orchestration.get_client", lambda **_: client)
    monkeypatch.setattr(cancelling, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(stopping, "_subprocesses", set())  # but for those of other tests
    ended: list[Any] = []

    class InPrefect(Flow):
        def __call__(self, *given: Any, **asked: Any) -> Any:
            ended.append(self.fn(*given, **asked))
            raise CancelledRun("cancelled in Prefect")

    said: list[str] = []

    def commanded() -> None:
        with stoppable(said.append):
            run_flow(InPrefect(lambda: threading.Event().wait(60)), said.append)

    with pytest.raises(Stopped) as stopped:
        commanded()
    assert stopped.value.code == 143
    assert said[0] == cancelling.CANCELLED
    assert [state.type for state in ended] == [StateType.CANCELLED]
    assert not client.states
