from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas import State
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Failed

from fusion.errors import InputError
from pipelines.specs.loading import load_experiment
from pipelines.work import Work, _failure


class Future:
    """What Prefect's future does: before `wait` it tells what the server has heard so far."""

    def __init__(self, heard: State, ended: State) -> None:
        self.state, self._ended = heard, ended

    def wait(self) -> None:
        self.state = self._ended

    def result(self, raise_on_failure: bool) -> Any:
        assert not raise_on_failure
        return self.state.data


RUNNING: State = State(type=StateType.RUNNING)
BLOCKED: State = State(type=StateType.PENDING, name="NotReady")


@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (Failed(data=ValueError("no memory")), "no memory"),
        (Failed(message="crashed", data=None), "crashed"),
        (Completed(), None),
        (BLOCKED, None),
    ],
)
def test_a_failure_is_known_though_the_server_has_not_heard_of_it(
    ended: State, why: str | None
) -> None:
    assert _failure(Future(RUNNING, ended)) == why  # type: ignore[arg-type]


def test_hours_are_for_seeds_that_are_raced(
    write_experiment: Callable[..., Path], tmp_path: Path
) -> None:
    work = Work(str(tmp_path / "store"), "cpu", None, hours=2.0)
    spec = load_experiment(str(write_experiment(seeds=[0, 1])))
    with pytest.raises(InputError, match="has a list of them; race them with --set"):
        work.plan(spec, None, ())


def test_what_is_found_broken_is_said_on_the_screen_and_paranoid_is_the_store(
    tmp_path: Path,
) -> None:
    work = Work(str(tmp_path / "store"), "cpu", None, paranoid=True)
    assert work.store.paranoid
    assert work.store.say == work.screen.say
    assert not Work(str(tmp_path / "store"), "cpu", None).store.paranoid
