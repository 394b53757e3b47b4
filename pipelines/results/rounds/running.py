"""The rounds of an experiment as they are run: the cells of each, once the one before is there."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.planning.plan import Cell, Plan
from pipelines.results.rounds.reading import results_so_far
from pipelines.store.store import Store


def rounds(plan: Plan, store: Store) -> Iterator[tuple[Cell, ...]]:
    """Yield the cells of each round; of a list of seeds all at once.

    Ends where no method is to get another seed, or where a round was not completed.
    """
    if plan.experiment.race is None:
        yield plan.cells
        return
    begun: set[str] = set()
    while due := [c for c in results_so_far(plan, store).plan.cells if c.title not in begun]:
        yield tuple(due)
        begun |= {cell.title for cell in due}
