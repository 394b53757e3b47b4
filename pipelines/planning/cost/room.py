"""Whether what is to be made has room: asked before a run begins, and again before each step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fusion.errors import InputError
from pipelines.execution.faults import NoRoom, Room, room
from pipelines.execution.runner import NO_SLOT, Step
from pipelines.planning.cost.estimates import Estimator
from pipelines.planning.cost.history import Works, read_history
from pipelines.planning.cost.networks import Networks
from pipelines.planning.cost.summary import size
from pipelines.store.stage import Stage
from pipelines.store.store import Store

SPACE, IGNORED = "FUSE_THEN_SPACE", "ignore"
UNMEASURED = (InputError, OSError, ValueError, KeyError, TypeError)
"""What no run fails for: that its cost, or that of a stage of another version, is not known."""
LEAST = 1_000_000
"""Bytes without which no stage is begun, however little it leaves."""
ALL_THE_SAME = f"or set {SPACE}={IGNORED} to begin all the same"


class RoomAhead:
    """Compares what unfinished stages will leave in a store with what is free there.

    Estimates are those of `fuse-then plan`, but for networks that nobody has counted yet: only
    what is known surely enough is asked for. Once a step had no room, no other is begun, and all
    are refused with the same sentence.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: dict[str, float] = {}
        self._refused: str | None = None

    def lacking(self, steps: Iterable[Step]) -> str | None:
        """Say what the unfinished stages of `steps` lack together; None where they fit."""
        stages = {stage.title: stage for step in steps for stage in step.stages}
        unfinished = [one for one in stages.values() if not self._store.is_finished(one)]
        left = self._left() if unfinished else None
        if left is None:
            return None
        self._estimate(unfinished)
        needed = sum(map(self._needed, unfinished))
        if not left.none and left.bytes >= max(needed, LEAST):
            return None
        return f"{self._told(needed, left)}; make room, give another --store, {ALL_THE_SAME}"

    def check(self, step: Step) -> None:
        """Raise NoRoom where a step that is about to begin will not fit, or one before did not."""
        left = self._left() if self._refused is None else None
        if left is not None:
            needed = sum(map(self._needed, step.stages))
            if left.none or left.bytes < max(needed, LEAST):
                self._refused = f"{self._told(needed, left)}; no more steps are begun: make room"
        if self._refused is not None:
            raise NoRoom(self._refused)

    def _left(self) -> Room | None:
        return None if os.environ.get(SPACE) == IGNORED else room(self._store.root)

    def _estimate(self, stages: Sequence[Stage]) -> None:
        """Estimate what stages will leave; of what cannot be measured nothing is known."""
        works = Works()
        kept = Networks(self._store, (NO_SLOT,), lambda _: lambda *_: None, None)
        self._stored |= dict.fromkeys((stage.title for stage in stages), 0.0)
        with contextlib.suppress(*UNMEASURED):
            estimator = Estimator("", read_history(self._store, works), works, kept)
            for stage in stages:
                with contextlib.suppress(*UNMEASURED):
                    self._stored[stage.title] = estimator.stored(stage) or 0.0

    def _needed(self, stage: Stage) -> float:
        """Return what a stage will still add to what an interrupted run has left of it."""
        return max(0.0, self._stored.get(stage.title, 0.0) - _bytes(self._store.partial(stage)))

    def _told(self, needed: float, left: Room) -> str:
        free = str(left) if left.none else size(left.bytes)
        return f"{size(max(needed, LEAST))} will be needed in {self._store.root}, with {free} free"


def _bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder, in which another process may be at work."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found += (Path(place) / name).stat().st_size
    return found
