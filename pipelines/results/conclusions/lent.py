"""The seed variance that another experiment lends, by column of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.planning.lending import lender
from pipelines.planning.plan import Cell, Plan
from pipelines.results.conclusions.merit import Lent
from pipelines.results.finished import FinishedCell, Results, read_cell
from pipelines.results.rows.quality import quality_row
from pipelines.results.statistics.samples import Sample, SeedSpread, seed_spread, units_of
from pipelines.store.store import Store
from pipelines.tasks.task import Task


def lent(results: Results, task: Task, part: str, columns: Sequence[str]) -> tuple[Lent, str]:
    """Return what is lent by column, and the sentence for beneath the table; empty for nothing.

    Columns and rows count by their names: of methods that are not trained there is no variance.
    """
    found = lender(results.plan.experiment, results.store)
    if found is None:
        return {}, ""
    known = _of_tables(found.tables, task) if found.tables else {}
    if found.plan is not None and found.cells(task.name):
        cells = found.cells(task.name)
        known = _of_cells(cells, found.plan, results.store, task, part, columns)
    known = {column: one for column, one in known.items() if one.degrees}
    if not known:
        return {}, ""
    deviation = known.get(task.headline)
    size = f", standard deviation {deviation.variance**0.5:.2f}" if deviation else ""
    degrees = max(one.degrees for one in known.values())
    return known, (
        f"The seed variance is that of {found.name} ({task.name}{size}, {degrees} degrees of "
        f"freedom): the conclusion holds as far as these methods vary with their seeds as those do."
    )


def _of_cells(
    cells: Sequence[Cell],
    plan: Plan,
    store: Store,
    task: Task,
    part: str,
    columns: Sequence[str],
) -> dict[str, SeedSpread]:
    rows: dict[str, dict[str, FinishedCell]] = {}
    for cell in cells:
        one = read_cell(cell, plan, store)
        if one is not None:
            rows.setdefault(cell.method.row, {})[cell.result.key] = one
    points = [
        made for own in rows.values() if (made := _points(list(own.values()), task, part, columns))
    ]
    return {
        column: seed_spread([_sample([row[column] for row in own]) for own in points])
        for column in columns
        if all(column in row for own in points for row in own)
    }


def _sample(values: Sequence[float]) -> Sample:
    return Sample(np.array(values), np.zeros(1), units_of([1]))


def _points(
    cells: Sequence[FinishedCell], task: Task, part: str, columns: Sequence[str]
) -> list[dict[str, float]]:
    """Return a method's scores by column, one a seed, in the units of the table."""
    if task.per_image:
        measured = quality_row(cells, part, columns).measured
        rows = measured.points.tolist() if measured is not None else []
        return [dict(zip(columns, row, strict=True)) for row in rows]
    found = []
    for one in cells:
        shares = dict(zip(task.columns(one.spec), one.scores, strict=True))
        found.append({key: 100 * value for key, value in shares.items() if value is not None})
    return found


def _of_tables(tables: Sequence[Mapping[str, Any]], task: Task) -> dict[str, SeedSpread]:
    squares: dict[str, float] = {}
    degrees: dict[str, int] = {}
    for table in tables:
        for row in table["rows"] if table["task"] == task.name else ():
            for column, value in zip(table["columns"], row["values"], strict=False):
                if row["kind"] == "ours" and value and value["sd"] is not None:
                    more = value["seeds"] - 1
                    squares[column] = squares.get(column, 0.0) + more * value["sd"] ** 2
                    degrees[column] = degrees.get(column, 0) + more
    return {
        column: SeedSpread(squares[column] / number, number)
        for column, number in degrees.items()
        if number
    }
