"""What a table supports: differences with their intervals, ties with the best, and ranks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.results.rows.shares import ONE_SEED, ONE_TRAINING
from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.comparison import (
    Floats,
    Sample,
    bootstrap_p,
    compare,
    holm,
    places,
    rank_shares,
)
from pipelines.results.values import Measured, Table
from pipelines.tasks.scoring import MEAN_RANK
from pipelines.tasks.task import Task, task_of

ALPHA = 0.05
CHOSEN = (
    "The best method is chosen by the same results, and so told from an equal one more often than "
    "in 5 of 100 experiments: in about 7 among three equal methods, in 12 to 15 among ten."
)


@dataclass(frozen=True)
class Difference:
    """A method's mean less the reference's in one column, in the table's unit.

    `p` is two-sided; `p_holm` is corrected over all methods that are compared with the reference in
    this column.
    """

    method: str
    reference: str
    column: str
    mean: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Evidence:
    """One table with what it supports.

    `headline` is the column that orders the methods: mAP50, mIoU, or mean rank for quality
    metrics. `differences` are to the best method of a column and to visible alone, for the columns
    of means (mAP50, mAP50-95; mIoU, mIoU w/o background; every quality metric). `level_with_best`
    are the methods, the best first, that cannot be told from the best in the headline at 5 %
    after Holm's correction. `ranks` holds for each method the share of resamples in which it
    takes place 1, 2, ... in the headline.
    """

    table: Table
    headline: str
    best: str | None
    differences: tuple[Difference, ...]
    level_with_best: tuple[str, ...]
    ranks: dict[str, tuple[float, ...]]
    notes: tuple[str, ...]

    @property
    def task(self) -> Task:
        """The task whose table it is."""
        return task_of(self.table.task)


def conclude(table: Table, measured: Mapping[str, Measured], visible: str | None) -> Evidence:
    """Return what a table supports, from the methods whose results are `measured`, by row.

    `visible` is the row of the visible images alone, if there is one. The table comes back with a
    note of the conclusion, unless a finished row is not measured or the table is of quality
    metrics, whose headline is no score.
    """
    task = task_of(table.task)
    headline = task.headline
    differences = _differences(table, measured, visible)
    points, resampled = _ordered(table, headline, measured)
    if not points:
        return Evidence(table, headline, None, (), (), {}, ())
    best = next(iter(points))
    if task.per_image:
        worse = _worse_in_rank(list(points), resampled, measured)
    else:
        mine = [d for d in differences if (d.reference, d.column) == (best, headline)]
        worse = {d.method for d in mine if d.p_holm <= ALPHA}
    level = tuple(method for method in points if method not in worse)
    shares = rank_shares(resampled, lower=headline in table.lower)
    ranks = {method: tuple(row.tolist()) for method, row in zip(points, shares, strict=True)}
    how, *notes = _notes(measured.values())
    complete = all(r.label in measured for r in table.rows if r.kind == "ours" and r.finished)
    if len(points) > 1 and complete and not task.per_image:
        told = f"{headline}: {_sentence(points, level)} ({how}, Holm, {100 * ALPHA:g} %)."
        if task.seeded and all(len(one.points) == 1 for one in measured.values()):
            told = f"{told} {ONE_TRAINING}"
        table = replace(table, notes=(*table.notes, told))
    return Evidence(table, headline, best, differences, level, ranks, tuple(notes))


def _worse_in_rank(
    methods: Sequence[str], resampled: Floats, measured: Mapping[str, Measured]
) -> set[str]:
    """Return the methods whose mean rank differs from that of the first, over images alone."""
    if any(measured[method].units < 2 for method in methods):
        return set()
    p = [bootstrap_p(column - resampled[:, 0]) for column in resampled.T[1:]]
    adjusted = holm(np.array(p))
    return {method for method, one in zip(methods[1:], adjusted, strict=True) if one <= ALPHA}


def _differences(
    table: Table, measured: Mapping[str, Measured], visible: str | None
) -> tuple[Difference, ...]:
    compared = task_of(table.task).compared or table.columns
    found: list[Difference] = []
    for place, column in enumerate(table.columns):
        if column not in compared or column == MEAN_RANK:
            continue
        samples = {
            row: one.sample(place)
            for row, one in measured.items()
            if np.isfinite(one.points[:, place]).all()
        }
        sign = 1 if column in table.lower else -1
        best = min(samples, key=lambda row: sign * float(samples[row].points.mean()), default=None)
        for reference in dict.fromkeys((best, visible)):
            if reference is not None and reference in samples:
                found += _against(reference, column, samples)
    return tuple(found)


def _against(reference: str, column: str, samples: Mapping[str, Sample]) -> list[Difference]:
    compared = {
        row: made
        for row, sample in samples.items()
        if row != reference and (made := compare(sample, samples[reference])) is not None
    }
    adjusted = holm(np.array([made.p for made in compared.values()]))
    return [
        Difference(row, reference, column, made.mean, made.low, made.high, made.p, float(p_holm))
        for (row, made), p_holm in zip(compared.items(), adjusted, strict=True)
    ]


def _ordered(
    table: Table, headline: str, measured: Mapping[str, Measured]
) -> tuple[dict[str, float], Floats]:
    """Return the headline by row, the best first, and resampled: float64[resamples, rows]."""
    place = table.columns.index(headline)
    shown = {row.label: row.values[place] for row in table.rows if row.kind == "ours"}
    points = {row: value.mean for row in measured if (value := shown.get(row)) is not None}
    sign = 1 if headline in table.lower else -1
    points = dict(sorted(points.items(), key=lambda item: sign * item[1]))
    if headline != MEAN_RANK:
        return points, _columns(measured, points, place)
    ranks = [_ranks(table, c, measured, points) for c in range(place)]
    known = np.isfinite(ranks)
    total = np.where(known, ranks, 0).sum(axis=0)
    number = known.sum(axis=0)
    return points, np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _ranks(
    table: Table, column: int, measured: Mapping[str, Measured], rows: Mapping[str, float]
) -> Floats:
    """Return places by resample in a metric, as printed, where at least two rows are defined."""
    values = np.round(_columns(measured, rows, column), table.digits)
    ranks = places(values, lower=table.columns[column] in table.lower)
    return np.where(np.isfinite(values).sum(axis=1, keepdims=True) > 1, ranks, np.nan)


def _columns(measured: Mapping[str, Measured], rows: Mapping[str, float], column: int) -> Floats:
    found = [measured[row].resampled[:, column] for row in rows]
    return np.stack(found, axis=1) if found else np.empty((RESAMPLES, 0))


def _sentence(methods: Mapping[str, float], level: Sequence[str]) -> str:
    best, *others = methods
    same = [method for method in level if method != best]
    if not same:
        return f"{best} is best, and every other method can be told from it"
    if len(same) == len(others):
        return f"{best} is best, but no other method can be told from it"
    return f"{best} is best; {listed(same)} cannot be told from it"


def listed(names: Sequence[str]) -> str:
    """Return names as they are read aloud: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _notes(measured: Collection[Measured]) -> list[str]:
    """Return the test in a few words, then what it rests on, in sentences."""
    on = max(measured, key=lambda one: one.images).tested
    alone = all(len(one.points) == 1 for one in measured)
    how = "paired bootstrap" if alone else "paired bootstrap over images, Welch's t over seeds"
    seeds = (
        ONE_SEED
        if alone
        else "Images and training seeds are both random in the differences; the ranks, which "
        "methods are level in mean rank, and the table's intervals are over images alone."
    )
    paired = (
        f"Every method is resampled alike: {RESAMPLES} resamples of the test set, {on}. p is "
        f"corrected by Holm over the methods that are compared with one reference in one column."
    )
    return [how, paired, seeds, CHOSEN]
