"""Whether the orders of methods agree: of tasks, of metrics, and with the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.statistics.best import ALPHA
from pipelines.results.statistics.differences import stepped_down
from pipelines.results.statistics.ranks import kendall, tau_range
from pipelines.results.statistics.samples import Sample
from pipelines.results.statistics.simultaneous import apart
from pipelines.results.values import Table
from pipelines.tasks.scoring import MEAN_RANK
from pipelines.tasks.task import task_of


@dataclass(frozen=True, eq=False)
class Order:
    """Merit by row: the higher, the better, whatever the column's direction.

    `samples` are what is known of the rows' chance; None: these numbers have none, as printed ones.
    """

    title: str
    merit: Mapping[str, float]
    samples: Mapping[str, Sample] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two orders of the same methods, with its 95 % interval.

    The interval holds every tau that the two orders allow: pairs of methods of which either order
    is not known at 5 % (all pairs together, test images and seeds both random) may be concordant
    or not.
    """

    first: str
    second: str
    tau: float
    low: float
    high: float
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
        found += agreement(_headline(first), _headline(second))
    shares = [one for one in evidence if not task_of(one.table.task).per_image]
    for one in evidence:
        for order in _metrics(one):
            for share in shares:
                found += agreement(order, _headline(share))
    return tuple(found)


def _with_the_paper(one: Evidence) -> Iterator[Agreement]:
    """Yield the agreement in the headline; of quality metrics, which have none, in each."""
    table = one.table
    columns = {f"ours, {table.title}": one.headline}
    if task_of(table.task).per_image:
        columns = {f"{c}, {table.title}": c for c in table.columns if c != MEAN_RANK}
    for title, column in columns.items():
        paper = Order("paper", _merit(table, column, "paper"), None)
        yield from agreement(_order(one, column, title), paper)


def _metrics(one: Evidence) -> Iterator[Order]:
    for column in one.table.columns if task_of(one.table.task).per_image else ():
        if column != MEAN_RANK:
            yield _order(one, column, f"{column}, {one.table.title}")


def _headline(one: Evidence) -> Order:
    return _order(one, one.headline, f"{one.headline}, {one.table.title}")


def _order(one: Evidence, column: str, title: str) -> Order:
    return Order(title, _merit(one.table, column, "ours"), one.samples.get(column, {}))


def _merit(table: Table, column: str, kind: str) -> dict[str, float]:
    """Return the column's merit by our rows' labels; the paper's row stands beneath ours."""
    place, sign = table.columns.index(column), -1 if column in table.lower else 1
    found, label = {}, ""
    for row in table.rows:
        label = row.label if row.kind == "ours" else label
        value = row.values[place]
        if row.kind == kind and value is not None:
            found[label] = sign * value.mean
    return found


def agreement(first: Order, second: Order) -> list[Agreement]:
    """Return how far two orders agree; nothing under three common methods, or of equal ones."""
    rows = [row for row in first.merit if row in second.merit]
    ours, theirs = (np.array([one.merit[row] for row in rows]) for one in (first, second))
    if (tau := kendall(ours, theirs)) is None:
        return []
    both = sum(one.samples is not None for one in (first, second))
    known = [_known(one, rows, ALPHA / max(1, both)) for one in (first, second)]
    low, high = tau_range(ours, theirs, known[0] & known[1])
    return [Agreement(first.title, second.title, tau, min(low, tau), max(high, tau), len(rows))]


def _known(order: Order, rows: Sequence[str], alpha: float) -> NDArray[np.bool_]:
    """Return of which pairs of rows, as `triu_indices` has them, the order is known."""
    pairs = np.triu_indices(len(rows), 1)
    if order.samples is None:
        return np.ones(len(pairs[0]), dtype=bool)
    samples = [order.samples[row] for row in rows if row in order.samples]
    found = apart(samples, pairs) if len(samples) == len(rows) else None
    if found is None:
        return np.zeros(len(pairs[0]), dtype=bool)
    known: NDArray[np.bool_] = stepped_down(found) <= alpha
    return known
