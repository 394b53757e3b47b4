"""Rows of shares in percent, as AP and IoU: means over seeds, intervals over test scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

import numpy as np

from pipelines.results.finished import FinishedCell
from pipelines.results.rows.resampled import resampled
from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.intervals import LEVEL, percentile_interval
from pipelines.results.statistics.samples import Floats, Units
from pipelines.results.values import Measured, RowScores, Value
from pipelines.store.store import Store

CORRECTED = (
    "Intervals of shares such as AP and IoU are percentiles corrected for bias (Efron 1981)."
)
SEEDLESS = "The intervals in the table say nothing about other training seeds."
ONE_SEED = "One seed: differences between trainings are not in the intervals."


def covered(measured: Iterable[Measured]) -> tuple[str, ...]:
    """Return what the intervals beneath a row cover; nothing while no row is measured."""
    found = list(dict.fromkeys(one.tested for one in measured))
    return tuple(
        f"{LEVEL:g} %: interval over test scenes ({one}), bootstrap of {RESAMPLES} resamples of "
        f"whole scenes, the same for every method, widened for few scenes as Student's t is."
        for one in found
    )


def share_row(cells: Sequence[FinishedCell], store: Store, columns: int) -> RowScores:
    """Return a row of shares in percent from its finished cells, one a seed.

    There are no intervals, and a note says so, where a cell's results are no longer in the store.
    A result that several seeds share, as nothing of it is drawn by lots, counts once.
    """
    cells = list({one.result.stage.key: one for one in cells}.values())
    if not cells:
        return RowScores((None,) * columns)
    scores = [one.scores for one in cells]
    entries = [(one, resampled(one, store)) for one in cells]
    lost = [one.result.stage.title for one, entry in entries if entry is None]
    if lost:
        note = (
            f"{cells[0].cell.method.row} has no intervals: what it predicted is no longer in the "
            f"store ({', '.join(lost)})."
        )
        return RowScores(_values(scores, None), (note,))
    kept = [entry for _, entry in entries if entry is not None]
    points = 100 * np.array(scores, dtype=np.float64)  # None becomes nan
    mean = 100 * np.mean([entry.shares for entry in kept], axis=0)
    first = cells[0].cell
    fixed = not (first.task.seeded or first.trains_fusion)
    seeds = tuple(one.cell.seed for one in cells)
    measured = Measured(points, mean, kept[0].sizes, fixed, seeds)
    return RowScores(_values(scores, measured), (), measured)


def _values(
    found: Sequence[Sequence[float | None]], measured: Measured | None
) -> tuple[Value | None, ...]:
    columns = enumerate(zip(*found, strict=True))
    if measured is None or not measured.units.several:
        return tuple(_value(column) for _, column in columns)
    units = measured.units
    return tuple(_value(column, measured.resampled[:, place], units) for place, column in columns)


def _value(
    column: Sequence[float | None], resampled: Floats | None = None, units: Units | None = None
) -> Value | None:
    known = [100 * score for score in column if score is not None]
    if not known:
        return None
    mean, sd = fmean(known), stdev(known) if len(known) > 1 else None
    # AP is biased: the bootstrap's AP lies above that of the images, and theirs above the truth.
    ci95 = None if resampled is None else percentile_interval(resampled, units, mean)
    return Value(mean, sd, len(known), ci95)
