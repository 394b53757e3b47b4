"""Whether the orders of methods agree: of tasks, of metrics, and with the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.statistics.ranks import kendall
from pipelines.results.values import Table
from pipelines.tasks.scoring import MEAN_RANK
from pipelines.tasks.task import task_of

Order = Mapping[str, float]
"""Merit by row: the higher, the better, whatever the column's direction."""


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two orders of the same methods, with its two-sided p."""

    first: str
    second: str
    tau: float
    p: float
    methods: int


def agreements(evidence: Sequence[Evidence]) -> tuple[Agreement, ...]:
    """Return how far orders of the same methods agree, wherever at least three methods have both.

    Ours against the paper's in a table's headline, or in every quality metric; the headlines of
    every two tables; and every quality metric against mAP50 and mIoU. Where lower is better the
    sign is turned, so that tau is 1 where both name the same order of merit.
    """
    found: list[Agreement] = []
    for one in evidence:
        found += _with_the_paper(one)
    for first, second in combinations(evidence, 2):
        found += _agreement(*_headline(first), *_headline(second))
    shares = [one for one in evidence if not task_of(one.table.task).per_image]
    for one in evidence:
        for name, order in _metrics(one.table):
            for share in shares:
                found += _agreement(name, order, *_headline(share))
    return tuple(found)


def _with_the_paper(one: Evidence) -> Iterator[Agreement]:
    """Yield the agreement in the headline; of quality metrics, which have none, in each."""
    table = one.table
    columns = {f"ours, {table.title}": one.headline}
    if task_of(table.task).per_image:
        columns = {f"{c}, {table.title}": c for c in table.columns if c != MEAN_RANK}
    for title, column in columns.items():
        ours, paper = (_order(table, column, kind) for kind in ("ours", "paper"))
        yield from _agreement(title, ours, "paper", paper)


def _metrics(table: Table) -> Iterator[tuple[str, Order]]:
    for column in table.columns if task_of(table.task).per_image else ():
        if column != MEAN_RANK:
            yield f"{column}, {table.title}", _order(table, column, "ours")


def _headline(evidence: Evidence) -> tuple[str, Order]:
    title = f"{evidence.headline}, {evidence.table.title}"
    return title, _order(evidence.table, evidence.headline, "ours")


def _order(table: Table, column: str, kind: str) -> Order:
    """Return the column's merit by our rows' labels; the paper's row stands beneath ours."""
    place, sign = table.columns.index(column), -1 if column in table.lower else 1
    found, label = {}, ""
    for row in table.rows:
        label = row.label if row.kind == "ours" else label
        value = row.values[place]
        if row.kind == kind and value is not None:
            found[label] = sign * value.mean
    return found


def _agreement(first: str, ours: Order, second: str, theirs: Order) -> list[Agreement]:
    both = [row for row in ours if row in theirs]
    made = kendall(np.array([ours[row] for row in both]), np.array([theirs[row] for row in both]))
    return [] if made is None else [Agreement(first, second, *made, len(both))]
