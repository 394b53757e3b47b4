"""What a table supports: among which methods the best is, differences, and places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipelines.results.conclusions import raced, wording
from pipelines.results.conclusions.merit import Lent, ordered, spreads, with_seeds
from pipelines.results.conclusions.power import power_note
from pipelines.results.conclusions.wording import Basis
from pipelines.results.statistics.best import ALPHA, confidence_set
from pipelines.results.statistics.differences import against
from pipelines.results.statistics.race import Race, share
from pipelines.results.statistics.ranks import Floats, rank_shares
from pipelines.results.statistics.samples import Sample
from pipelines.results.values import Measured, Table
from pipelines.tasks.scoring import MEAN_RANK
from pipelines.tasks.task import Task, task_of


@dataclass(frozen=True)
class Difference:
    """A method's mean less the reference's in one column, in the table's unit.

    The interval from `low` to `high` holds together with those of all methods that are compared
    with the reference in this column; `p` is two-sided, `p_adjusted` corrected over them.
    """

    method: str
    reference: str
    column: str
    mean: float
    low: float
    high: float
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class Evidence:
    """One table with what it supports.

    `headline` is the column that orders the methods: mAP50, mIoU, or mean rank for quality
    metrics. `differences` are to the best method of a column and to visible alone, for the columns
    of means (mAP50, mAP50-95; mIoU, mIoU w/o background; every quality metric). `among_best` are
    the methods, the first of the table's order first, among which the best in the headline is with
    95 % confidence; `conclusion` says so, as far as `basis` allows. `ranks` holds for each method
    the share of resamples in which it takes place 1, 2, ... in the headline. `samples` are what is
    known of chance, by column and row.
    """

    table: Table
    headline: str
    best: str | None
    differences: tuple[Difference, ...]
    among_best: tuple[str, ...]
    ranks: dict[str, tuple[float, ...]]
    notes: tuple[str, ...]
    basis: Basis = "images"
    conclusion: str = ""
    samples: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict, compare=False)

    @property
    def task(self) -> Task:
        """The task whose table it is."""
        return task_of(self.table.task)


def conclude(
    table: Table,
    measured: Mapping[str, Measured],
    visible: str | None,
    lent: Lent | None = None,
    race: Race | None = None,
) -> Evidence:
    """Return what a table supports, from the methods whose results are `measured`, by row.

    `visible` is the row of the visible images alone, if there is one; `lent` are seed variances of
    another experiment, for methods of one training. Where seeds are raced, the race has decided.
    The table comes back with its conclusion and its marks, unless a finished row is not measured.
    """
    task = task_of(table.task)
    headline = task.headline
    known = spreads(measured, table.columns, lent or {})
    noisy = with_seeds(measured, known)
    points, resampled = ordered(table, headline, noisy)
    if not points:
        return Evidence(table, headline, None, (), (), {}, ())
    basis = wording.basis_of(measured.values(), known.values())
    samples = {column: _samples(measured, table, column) for column in _compared(table)}
    samples.setdefault(headline, _by_rank(points, resampled, measured))
    members = {c: _members(own, table, c, known) for c, own in samples.items()}
    if race is not None:
        members[headline] = list(race.alive)
    among = [row for row in points if row in members[headline]]
    shares = rank_shares(resampled, lower=headline in table.lower)
    ranks = {method: tuple(row.tolist()) for method, row in zip(points, shares, strict=True)}
    told = ""
    complete = all(r.label in measured for r in table.rows if r.kind == "ours" and r.finished)
    several = len(points) > 1 and any(one.units.several for one in measured.values())
    if several and complete and (race is None or race.rounds):
        on = wording.drawn(next(iter(measured.values())))
        told = wording.best(among, len(points), basis, on)
        how = wording.procedure(basis, measured.values(), known.get(headline))
        marks = {c: tuple(of) for c, of in members.items() if len(samples[c]) > 1}
        if race is not None:
            marks, how = {headline: tuple(among)}, raced.procedure(race)
        power = power_note(table, measured, known, ALPHA if race is None else share(race.rule))
        notes = [f"{headline}: {told} {how}", *filter(None, [power])]
        table = replace(table, among_best=marks, notes=(*table.notes, *notes))
    return Evidence(
        table,
        headline,
        next(iter(points)),
        _differences(table, samples, visible, known),
        tuple(among),
        ranks,
        (*wording.notes(basis, measured.values()), *((raced.AFTER,) if race is not None else ())),
        basis,
        told,
        samples,
    )


def _samples(measured: Mapping[str, Measured], table: Table, column: str) -> dict[str, Sample]:
    """Return what is compared in a column, of the methods that have a result for every seed."""
    place = table.columns.index(column)
    return {
        row: one.sample(place)
        for row, one in measured.items()
        if np.isfinite(one.points[:, place]).all()
    }


def _by_rank(
    points: Mapping[str, float], resampled: Floats, measured: Mapping[str, Measured]
) -> dict[str, Sample]:
    """Return mean ranks as samples whose resamples hold the seeds' noise already."""
    return {
        row: Sample(np.array([mean]), column, measured[row].units, fixed=True)
        for (row, mean), column in zip(points.items(), resampled.T, strict=True)
    }


def _members(samples: Mapping[str, Sample], table: Table, column: str, known: Lent) -> list[str]:
    found = confidence_set(
        list(samples.values()), lower=column in table.lower, spread=known.get(column)
    )
    return [row for row, member in zip(samples, found.members, strict=True) if member]


def _compared(table: Table) -> tuple[str, ...]:
    columns = task_of(table.task).compared or table.columns
    return tuple(column for column in columns if column != MEAN_RANK)


def _differences(
    table: Table,
    known: Mapping[str, Mapping[str, Sample]],
    visible: str | None,
    spreads: Lent,
) -> tuple[Difference, ...]:
    found: list[Difference] = []
    for column in _compared(table):
        samples = known[column]
        sign = 1 if column in table.lower else -1
        best = min(samples, key=lambda row: sign * samples[row].mean, default=None)
        for reference in dict.fromkeys((best, visible)):
            if reference is not None and reference in samples:
                found += _against(reference, column, samples, spreads, chosen=reference == best)
    return tuple(found)


def _against(
    reference: str, column: str, samples: Mapping[str, Sample], known: Lent, *, chosen: bool
) -> list[Difference]:
    rows = list(samples)
    place, spread = rows.index(reference), known.get(column)
    made = against(list(samples.values()), place, chosen=chosen, spread=spread)
    others = [row for row in rows if row != reference]
    return [
        Difference(row, reference, column, one.mean, one.low, one.high, one.p, one.p_adjusted)
        for row, one in zip(others, made or (), strict=made is not None)
    ]
