"""What has no room is not begun: neither a run, nor a step while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stages import by_hand, commit

from pipelines.execution.faults import NoRoom, Room, refusal
from pipelines.execution.runner import Step
from pipelines.planning.cost import room as ahead
from pipelines.planning.cost.estimates import Estimator
from pipelines.planning.cost.room import SPACE, RoomAhead
from pipelines.planning.plan import Plan
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.work import Work, _lines

MB = 1_000_000
SMALL, LARGE = (by_hand("fuse", 1, {"size": size}) for size in (5 * MB, 40 * MB))
Free = Callable[[int], None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Let stages need what their spec says, and set how much is free, and for how many files."""

    def set_free(bytes_: int, files: int | None = None) -> None:
        monkeypatch.setattr(ahead, "room", lambda place: Room(bytes_, files))

    monkeypatch.setattr(Estimator, "stored", lambda _, stage: float(stage.spec["size"]))
    return set_free


def step(*stages: Stage) -> Step:
    return Step(stages[-1].title, stages)


def test_a_run_that_will_not_fit_is_refused_with_what_it_needs(store: Store, free: Free) -> None:
    free(44 * MB)
    told = RoomAhead(store).lacking([step(SMALL), step(LARGE)])
    assert told == (
        f"45 MB will be needed in {store.root}, with 44 MB free; make room, give another --store, "
        "or set FUSE_THEN_SPACE=ignore to begin all the same"
    )
    free(45 * MB)
    assert RoomAhead(store).lacking([step(SMALL), step(LARGE)]) is None


def test_finished_stages_and_what_a_killed_run_has_left_need_no_room_again(
    store: Store, free: Free
) -> None:
    free(30 * MB)
    assert RoomAhead(store).lacking([step(LARGE)]) is not None
    partial = store.partial(LARGE)
    partial.mkdir(parents=True)
    (partial / "image.png").write_bytes(bytes(11 * MB))
    assert RoomAhead(store).lacking([step(LARGE)]) is None
    (partial / "image.png").unlink()
    commit(store, LARGE)
    free(0)
    assert RoomAhead(store).lacking([step(LARGE)]) is None


def test_a_cost_that_cannot_be_told_stops_no_run(
    store: Store, free: Free, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(2 * MB)
    partial = store.partial(LARGE)
    partial.mkdir(parents=True)
    (partial / "gone.part").symlink_to("nowhere")  # as where another process has just removed it

    def refuse(*_: object) -> float:
        raise OSError("the data cannot be read")

    monkeypatch.setattr(Estimator, "stored", refuse)
    assert RoomAhead(store).lacking([step(LARGE)]) is None


def test_nothing_is_begun_where_no_further_file_can_be_made(store: Store, free: Free) -> None:
    free(10**12, 0)
    told = RoomAhead(store).lacking([step(SMALL)])
    assert told is not None
    assert "with no inode (so no further file) free; make room" in told


def test_the_user_may_begin_all_the_same(
    store: Store, free: Free, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(0)
    monkeypatch.setenv(SPACE, "ignore")
    begun = RoomAhead(store)
    assert begun.lacking([step(LARGE)]) is None
    begun.check(step(LARGE))


def test_once_a_step_has_no_room_no_other_is_begun(store: Store, free: Free) -> None:
    free(100 * MB)
    begun = RoomAhead(store)
    assert begun.lacking([step(SMALL), step(LARGE)]) is None
    begun.check(step(SMALL))
    free(30 * MB)  # others have filled the disk meanwhile
    with pytest.raises(NoRoom, match=r"40 MB will be needed in .*, with 30 MB free; no more steps"):
        begun.check(step(LARGE))
    free(100 * MB)
    with pytest.raises(NoRoom, match="40 MB will be needed") as caught:
        begun.check(step(SMALL))
    assert refusal(caught.value) == str(caught.value)


def test_a_run_says_so_before_it_begins_and_in_a_line_afterwards(
    tmp_path: Path, write_experiment: Callable[..., Path], free: Free
) -> None:
    work = Work(str(tmp_path / "store"), "cpu", 1)
    plan = Plan(load_experiment(str(write_experiment())), (), ())
    free(10 * MB)
    with pytest.raises(NoRoom, match="40 MB will be needed"):
        work.run(plan, [[step(LARGE)]])
    assert work.run(plan, []) == []
    (line,) = work.run(plan, [[step(LARGE)]])
    assert line.startswith("40 MB will be needed")


def test_steps_that_failed_of_the_same_are_told_together() -> None:
    failures = {"a": "full.", "b": "broken.", "c": "full.", "d": "full.", "e": "full."}
    assert list(_lines(failures)) == ["a, c, d (and 1 more): full.", "b: broken."]
