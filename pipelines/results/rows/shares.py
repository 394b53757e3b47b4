"""Rows of shares in percent, as AP and IoU: means over seeds, intervals over test scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

import numpy as np

from pipelines.results.finished import FinishedCell
from pipelines.results.rows.folds import Group, by_seed
from pipelines.results.rows.resampled import mean_of, resampled
from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.folds import FoldScores
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
    found = {one.tested: len(one.sizes) for one in measured}
    return tuple(
        f"{LEVEL:g} %: interval over test scenes ({one}), bootstrap of {RESAMPLES} resamples of "
        f"whole scenes, the same for every method, widened for few scenes as Student's t is. In "
        f"simulations of {held} of 100 such intervals."
        for one, scenes in found.items()
        for held in [_held(scenes)]
    )


def _held(scenes: int) -> str:
    """Return how many scenes were simulated, and how often intervals held the truth."""
    if scenes >= 40:
        return "40 scenes and more the truth lay in 90 (AP50-95) to 98"
    if scenes >= 20:
        return "20 scenes the truth lay in 87 (AP50-95) to 96"
    return "8 scenes the truth lay in 83 (AP50-95) to 92"


def share_row(cells: Sequence[FinishedCell], store: Store, columns: int) -> RowScores:
    """Return a row of shares in percent from its finished cells, one a seed, or its folds.

    There are no intervals, and a note says so, where a cell's results are no longer in the store.
    """
    groups = by_seed(cells)
    if not groups:
        return RowScores((None,) * columns)
    entries = [(own, resampled(own, store)) for own in groups]
    lost = [one.result.stage.title for own, entry in entries if entry is None for one in own]
    first = groups[0][0].cell
    if lost:
        note = (
            f"{first.method.row} has no intervals: what it predicted is no longer in the "
            f"store ({', '.join(lost)})."
        )
        return RowScores(_values([_scores(own) for own in groups], None), (note,))
    kept = [entry for _, entry in entries if entry is not None]
    scores = [entry.scores if len(own) > 1 else _scores(own) for own, entry in entries if entry]
    points = 100 * np.stack(scores)
    mean = 100 * np.mean([entry.shares for entry in kept], axis=0)
    fixed = not (first.task.seeded or first.trains_fusion)
    seeds = tuple(own[0].cell.seed for own in groups)
    measured = Measured(points, mean, kept[0].sizes, fixed, seeds, _by_fold(groups, store))
    return RowScores(_values(scores, measured), (), measured)


def _scores(folds: Group) -> Floats:
    """Return a seed's scores, of folds their mean; nan where a class is absent."""
    return mean_of([np.array(one.scores, dtype=np.float64) for one in folds])  # None becomes nan


def _by_fold(groups: Sequence[Group], store: Store) -> FoldScores | None:
    """Return the scores of every fold in percent, where there are folds."""
    if len(groups[0]) == 1:
        return None
    points = np.array([[one.scores for one in own] for own in groups], dtype=np.float64)
    entries = [[resampled([one], store) for one in own] for own in groups]
    shares = [[entry.shares for entry in own if entry is not None] for own in entries]
    return FoldScores(100 * points, 100 * np.mean(shares, axis=0).transpose(1, 0, 2))


def _values(found: Sequence[Floats], measured: Measured | None) -> tuple[Value | None, ...]:
    columns = enumerate(zip(*found, strict=True))
    if measured is None or not measured.units.several:
        return tuple(_value(column) for _, column in columns)
    units = measured.units
    return tuple(_value(column, measured.resampled[:, place], units) for place, column in columns)


def _value(
    column: Sequence[float], resampled: Floats | None = None, units: Units | None = None
) -> Value | None:
    known = [100 * float(score) for score in column if np.isfinite(score)]
    if not known:
        return None
    mean, sd = fmean(known), stdev(known) if len(known) > 1 else None
    # AP is biased: the bootstrap's AP lies above that of the images, and theirs above the truth.
    ci95 = None if resampled is None else percentile_interval(resampled, units, mean)
    return Value(mean, sd, len(known), ci95)
