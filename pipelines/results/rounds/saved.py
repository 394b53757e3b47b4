"""What a race has saved: the trainings of seeds that nobody needed, and the hours of their kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.planning.plan import Cell
from pipelines.results.finished import Results
from pipelines.results.rounds.running import seconds_of
from pipelines.store.stage import Stage
from pipelines.tasks.fusion import HISTORIES
from pipelines.tasks.task import Task


@dataclass(frozen=True)
class Saved:
    """How many trainings were not made of how many that all seeds would take, and their hours.

    The hours are those that the method's own finished stages of the same kind took, fusing and
    testing included.
    """

    trainings: int
    of: int
    hours: float


def saved(results: Results, task: Task) -> Saved:
    """Return what is saved for good in a task: of methods that stopped, at the end of all."""
    race = results.races[task.name]
    asked = [cell for cell in results.plan.cells if cell.task is task]
    later = [cell for cell in results.later if cell.task is task]
    spared = [c for c in later if race.ended or race.stopped_after(c.method.row) is not None]
    made = {stage.key for cell in results.plan.cells for stage in cell.stages}
    stages = {key: own for key, own in _stages(spared).items() if key not in made}
    took = seconds_of(results)
    return Saved(
        _trainings((stage for _, stage in stages.values()), task),
        _trainings((stage for _, stage in _stages([*asked, *later]).values()), task),
        sum(took.get((row, s.kind.name), 0.0) for row, s in stages.values()) / 3600,
    )


def _stages(cells: Iterable[Cell]) -> dict[str, tuple[str, Stage]]:
    """Return each stage once by its key, with the row of the first cell that it is for."""
    found: dict[str, tuple[str, Stage]] = {}
    for cell in cells:
        for stage in cell.stages:
            found.setdefault(stage.key, (cell.method.row, stage))
    return found


def _trainings(stages: Iterable[Stage], task: Task) -> int:
    known = {*HISTORIES, *task.histories}
    return sum(stage.kind.name in known for stage in stages)
