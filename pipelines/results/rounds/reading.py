"""What is finished of an experiment whose seeds may be raced: rounds decided by that alone.

Nothing is remembered of a race: whoever reads the same finished cells, after a kill or beside
another process, decides the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import Results, read_results
from pipelines.results.rows.folds import Group, complete
from pipelines.results.rows.shares import share_row
from pipelines.results.statistics.best import confidence_set
from pipelines.results.statistics.race import Race, judge, share
from pipelines.results.values import Measured
from pipelines.store.store import Store
from pipelines.tasks.task import Task


def results_so_far(plan: Plan, store: Store) -> Results:
    """Read what is finished of the cells that are due: all, or those that the rounds ask for.

    The plan of what is returned holds these cells alone. Tasks race apart, each by its headline;
    one without shares, as scores of images, gets the seeds that every method gets.
    """
    results = read_results(plan, store)
    if plan.experiment.race is None:
        return results
    raced = [task for task in plan.tasks if task.resample is not None and not task.per_image]
    races = {task.name: read_race(results, task) for task in raced}
    results = replace(results, races=races)

    def due(cell: Cell) -> bool:
        return cell.seed < results.wanted(cell.task.name, cell.method.row)

    cells, perturbed = (tuple(filter(due, own)) for own in (plan.cells, plan.perturbed))
    return replace(
        results,
        plan=replace(plan, cells=cells, perturbed=perturbed),
        cells=tuple(one for one in results.cells if due(one.cell)),
        perturbed=tuple(one for one in results.perturbed if due(one.cell)),
        later=tuple(cell for cell in plan.cells if not due(cell)),
    )


def read_race(results: Results, task: Task) -> Race:
    """Return how the race of a task stands, among the methods that are not blocked."""
    rule = results.plan.experiment.race
    assert rule is not None
    planned = (cell.method.row for cell in results.plan.cells if cell.task is task)
    methods = tuple(dict.fromkeys(planned))
    cells = {
        (row, own[0].cell.seed): own
        for row in methods
        for own in complete(results.of(task.name, row))
    }

    def worse(methods: Sequence[str], seeds: int) -> Sequence[str] | None:
        own = [[cells.get((row, seed)) for seed in range(seeds)] for row in methods]
        measured = [_measured(one, results, task) for one in own]
        if None in measured:
            return None
        column = task.columns(results.plan.experiment.sections[task.name]).index(task.headline)
        found = [one.sample(column) for one in measured if one is not None]
        return [methods[n] for n in confidence_set(found, share(rule)).left]

    return judge(rule, methods, worse)


def _measured(cells: Sequence[Group | None], results: Results, task: Task) -> Measured | None:
    """Return a method's results; None where a cell, or what it was scored from, is not there."""
    if None in cells:
        return None
    known = [one for own in cells if own is not None for one in own]
    columns = task.columns(results.plan.experiment.sections[task.name])
    return share_row(known, results.store, len(columns)).measured
