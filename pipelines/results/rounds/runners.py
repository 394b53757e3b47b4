"""How each method's mean went from round to round."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from pipelines.results.finished import Results
from pipelines.results.rows.folds import Group, complete
from pipelines.tasks.task import Task


@dataclass(frozen=True)
class Runner:
    """A method's mean after each number of seeds, and after how many it stopped, if it did."""

    method: str
    seeds: tuple[int, ...]
    means: tuple[float, ...]
    stopped: int | None


def runners(results: Results, task: Task) -> tuple[Runner, ...]:
    """Return the methods of a task's race with their headlines in percent; none without rounds."""
    race = results.races.get(task.name)
    if race is None or not race.rounds:
        return ()
    found = []
    for method in race.methods:
        groups = complete(results.of(task.name, method))
        scores = {own[0].cell.seed: _score(own) for own in groups}
        last = race.stopped_after(method) or race.seeds
        given = range(race.rule.at_least, last + 1)
        known = [scores.get(seed) for seed in range(last)]
        values = [score for score in known if score is not None]
        if len(values) == last:
            means = tuple(100 * fmean(values[:seeds]) for seeds in given)
            found.append(Runner(method, tuple(given), means, race.stopped_after(method)))
    return tuple(found)


def _score(folds: Group) -> float | None:
    """Return a seed's headline, of folds their mean."""
    known = [one.headline for one in folds if one.headline is not None]
    return fmean(known) if len(known) == len(folds) else None
