"""The rounds of an experiment as they are run: the cells of each, once the one before is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import Results
from pipelines.results.rounds.reading import results_so_far
from pipelines.results.statistics.race import Race
from pipelines.store.store import Store


class Budget:
    """The hours that rounds may take, from now on; a round is begun if it is expected to fit.

    What every method gets is begun anyway. `devices` work at once.
    """

    def __init__(self, hours: float | None, devices: int) -> None:
        self.hours, self._devices, self._begun = hours, devices, time.monotonic()

    def allows(self, cells: Sequence[Cell], results: Results) -> bool:
        """Whether cells may be begun, by what finished stages like theirs took."""
        rule = results.plan.experiment.race
        if self.hours is None or rule is None:
            return True
        lacking = {
            stage.key: (cell.method.row, stage.kind.name)
            for cell in cells
            for stage in cell.stages
            if not results.store.is_finished(stage)
        }
        needed = {cell.seed for cell in cells if not lacking.keys().isdisjoint(_keys(cell))}
        if max(needed, default=0) < rule.at_least:
            return True
        took = seconds_of(results)
        expected = sum(took.get(which, 0.0) for which in lacking.values()) / self._devices
        return time.monotonic() - self._begun + expected <= 3600 * self.hours


def _keys(cell: Cell) -> set[str]:
    return {stage.key for stage in cell.stages}


def seconds_of(results: Results) -> dict[tuple[str, str], float]:
    """Return what finished stages took in the mean, by their method's row and their kind."""
    took: dict[tuple[str, str], list[float]] = {}
    for one in results.cells:
        for stage in one.stages:
            key = (one.cell.method.row, stage.stage.kind.name)
            took.setdefault(key, []).append(stage.manifest.seconds)
    return {key: fmean(seconds) for key, seconds in took.items()}


def rounds(
    plan: Plan,
    store: Store,
    budget: Budget | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Cell, ...]]:
    """Yield the cells of each round; of a list of seeds all at once.

    Ends where no method is to get another seed, where a round was not completed, and where the
    budget is spent; `say` is told how each race goes.
    """
    if plan.experiment.race is None:
        yield plan.cells
        return
    begun: set[str] = set()
    while True:
        results = results_so_far(plan, store)
        for task, race in results.races.items():
            say(f"  race  {task}: {standing(race)}")
        due = tuple(cell for cell in results.plan.cells if cell.title not in begun)
        if due and budget is not None and not budget.allows(due, results):
            say(f"  race  the next round would not end within --hours {budget.hours:g}")
        elif due:
            yield due
            begun |= {cell.title for cell in due}
            continue
        return


def standing(race: Race) -> str:
    """Return how a race goes, in a few words."""
    if not race.rounds:
        return f"seeds 0 to {race.rule.at_least - 1} of every method decide first"
    last = race.rounds[-1]
    out = f"{', '.join(last.stopped)} stopped" if last.stopped else "none stopped"
    left = ", ".join(race.alive)
    if len(race.alive) == 1:
        return f"decided after {last.seeds} seeds, {left} is left"
    if race.ended:
        return f"after all {last.seeds} seeds {out}, {left} are left"
    return f"after {last.seeds} seeds {out}; seed {race.seeds} goes to {left}"
