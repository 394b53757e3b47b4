"""The order of methods in a column or in mean rank, on the test set itself and resampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.ranks import Floats, places
from pipelines.results.statistics.samples import SeedSpread, seed_spread
from pipelines.results.values import Measured, Table
from pipelines.store.digests import derive_seed
from pipelines.tasks.scoring import MEAN_RANK

Lent = Mapping[str, SeedSpread]
"""By column, the seed variance of another experiment."""


def spreads(measured: Mapping[str, Measured], columns: tuple[str, ...], lent: Lent) -> Lent:
    """Return the seed variance by column: pooled over the methods, or else what is lent."""
    found = {}
    for place, column in enumerate(columns):
        if column != MEAN_RANK:
            own = seed_spread([one.sample(place) for one in measured.values()])
            found[column] = own if own.degrees else lent.get(column, own)
    return found


def with_seeds(measured: Mapping[str, Measured], known: Lent) -> dict[str, Measured]:
    """Return the same with the noise of training seeds added to every resample.

    The noise is normal, of the pooled variance by column, and independent between columns.
    """
    deviation = np.array([one.variance**0.5 for one in known.values()])
    found = {}
    for row, one in measured.items():
        resampled = one.resampled
        if not one.fixed and deviation.any():
            rng = np.random.default_rng(derive_seed("seed noise", row))
            noise = rng.standard_normal((len(resampled), len(deviation)))
            resampled = resampled + noise * deviation / len(one.points) ** 0.5
        found[row] = replace(one, resampled=resampled)
    return found


def ordered(
    table: Table, column: str, measured: Mapping[str, Measured]
) -> tuple[dict[str, float], Floats]:
    """Return a column by row, the best first, and resampled: float64[resamples, rows]."""
    place = table.columns.index(column)
    shown = {row.label: row.values[place] for row in table.rows if row.kind == "ours"}
    points = {row: value.mean for row in measured if (value := shown.get(row)) is not None}
    sign = 1 if column in table.lower else -1
    points = dict(sorted(points.items(), key=lambda item: sign * item[1]))
    if column != MEAN_RANK:
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
