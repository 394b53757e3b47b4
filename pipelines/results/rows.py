"""Rows of shares in percent, AP and IoU: means over seeds with intervals over test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from pipelines.planning.plan import Cell
from pipelines.results.resampled import resampled_cell
from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.comparison import LEVEL, Floats, percentile_interval
from pipelines.results.values import Measured, RowScores, Value
from pipelines.specs.dataset import Task
from pipelines.store.store import Store

MEANS: dict[str, tuple[str, str]] = {
    "detection": ("mAP50", "mAP50-95"),
    "segmentation": ("mIoU", "mIoU w/o background"),
}
COVERED = (
    f"{LEVEL:g} %: interval over test images, bootstrap of {RESAMPLES} resamples, the same for "
    "every method; it says nothing about other training seeds."
)
CORRECTED = "Intervals of AP and IoU are percentiles corrected for bias (Efron 1981)."
ONE_SEED = "One seed: differences between trainings are not in the intervals."
ONE_TRAINING = "This is of one training each: another may turn it round."
"""Behind every conclusion from one seed: rounding alone has moved a row by fourteen points."""


def share_row(cells: Sequence[Cell], store: Store, classes: Sequence[str]) -> RowScores:
    """Return a row of AP or IoU from its finished cells, one a seed.

    Values are in percent, the classes' first and then the means. There are no intervals, and a
    note says so, where a cell's results are no longer in the store.
    """
    found = [
        scores(cell.task, manifest.metrics, classes)
        for cell in cells
        if (manifest := store.manifest(cell.result)) is not None
    ]
    if not found:
        return RowScores((None,) * (len(classes) + 2))
    resampled = [(cell, resampled_cell(cell, store, classes)) for cell in cells]
    lost = [cell.result.title for cell, kept in resampled if kept is None]
    if lost:
        note = (
            f"{cells[0].method.row} has no intervals: what it predicted is no longer in the store "
            f"({', '.join(lost)})."
        )
        return RowScores(_values(found, None), (note,))
    kept = [kept for _, kept in resampled if kept is not None]
    points = 100 * np.array(found, dtype=np.float64)  # None becomes nan
    mean = 100 * np.mean([shares for shares, _ in kept], axis=0)
    measured = Measured(points, mean, kept[0][1])
    return RowScores(_values(found, measured), (), measured)


def scores(task: Task, metrics: Mapping[str, Any], classes: Sequence[str]) -> list[float | None]:
    """Return a manifest's scores in the order of the table's columns, shares in [0, 1]."""
    if task == "detection":
        return [*(metrics["AP50"][name] for name in classes), metrics["mAP50"], metrics["mAP"]]
    means = [metrics["miou"], metrics["miou_foreground"]]
    return [*(metrics["iou"][name] for name in classes), *means]


def _values(
    found: Sequence[Sequence[float | None]], measured: Measured | None
) -> tuple[Value | None, ...]:
    return tuple(
        _value(column, measured.resampled[:, place] if measured and measured.images > 1 else None)
        for place, column in enumerate(zip(*found, strict=True))
    )


def _value(column: Sequence[float | None], resampled: Floats | None) -> Value | None:
    known = [100 * score for score in column if score is not None]
    if not known:
        return None
    mean, sd = fmean(known), stdev(known) if len(known) > 1 else None
    # AP is biased: the bootstrap's AP lies above that of the images, and theirs above the truth.
    ci95 = None if resampled is None else percentile_interval(resampled, mean)
    return Value(mean, sd, len(known), ci95)
