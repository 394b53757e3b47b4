"""Rows of quality metrics: means over images and seeds, their intervals, and mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.results.finished import FinishedCell
from pipelines.results.rows.folds import Group, by_seed
from pipelines.results.statistics.bootstrap import (
    Scenes,
    Values,
    numbered,
    resampled_means,
    sizes,
)
from pipelines.results.statistics.intervals import percentile_interval
from pipelines.results.values import Measured, Row, RowScores, Table, Value
from pipelines.tasks.scoring import MEAN_RANK, read_scores

DIGITS = 3
LOWER = ("MSE", MEAN_RANK)
"""Columns in which the lowest value is best."""


def quality_row(cells: Sequence[FinishedCell], part: str, columns: Sequence[str]) -> RowScores:
    """Return a row over the images of `part` from its finished cells; a note per metric with gaps.

    Seeds that share their images count once: of a method that is not trained there is one result.
    An image counts in a metric's mean where the metric is defined for all seeds.
    """
    unique = by_seed(cells)
    if not unique:
        return RowScores((None,) * len(columns))
    first = unique[0][0].cell
    tables = [_together(own) for own in unique]
    names, metrics, _ = tables[0]
    chosen = [n for n, name in enumerate(names) if not part or name.startswith(f"{part}-")]
    places = [metrics.index(column) for column in columns]
    stack = np.stack([values[chosen][:, places] for _, _, values in tables])
    known: NDArray[np.bool_] = np.all(np.isfinite(stack), axis=0)
    reasons = [one.metrics["metrics"] for own in unique for one in own]
    notes = [
        _note(first.method.row, column, defined, reasons)
        for column, defined in zip(columns, known.T, strict=True)
        if not defined.all()
    ]
    together = {name: scene for one in unique[0] for name, scene in one.scenes.items()}
    scenes = numbered([names[place] for place in chosen], together)
    seeds = tuple(own[0].cell.seed for own in unique)
    found = measured_means(stack, known, scenes)
    measured = replace(found, fixed=not first.trains_fusion, seeds=seeds)
    return RowScores(mean_values(measured, known), tuple(notes), measured)


def _together(folds: Group) -> tuple[tuple[str, ...], tuple[str, ...], Values]:
    """Return names, metrics and values of all images that a seed's folds test."""
    tables = [read_scores(one.result.folder) for one in folds]
    names = tuple(name for own, _, _ in tables for name in own)
    return names, tables[0][1], np.concatenate([values for _, _, values in tables])


def measured_means(stack: Values, known: NDArray[np.bool_], scenes: Scenes) -> Measured:
    """Average ``seeds x images x metrics`` scores over the images that are known."""
    averages = np.where(known, stack.mean(axis=0), np.nan)
    total = np.where(known, stack, 0).sum(axis=1)
    points = np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
    resampled = resampled_means(averages, scenes)
    return Measured(points, resampled, sizes(scenes))


def mean_values(measured: Measured, known: NDArray[np.bool_]) -> tuple[Value | None, ...]:
    """Return a row's values; `known` (images x metrics) says where they are defined."""
    found: list[Value | None] = []
    units = measured.units
    for means, resampled, images in zip(
        measured.points.T, measured.resampled.T, known.sum(axis=0), strict=True
    ):
        ci95 = percentile_interval(resampled, units) if units.several and images > 1 else None
        sd = float(np.std(means, ddof=1)) if len(means) > 1 else None
        found.append(Value(fmean(means), sd, len(means), ci95) if images else None)
    return tuple(found)


def _note(
    row: str, column: str, defined: NDArray[np.bool_], metrics: Sequence[Mapping[str, Any]]
) -> str:
    reasons = sorted({text for of in metrics for text in of[column].get("undefined", ())})
    gone, total = int((~defined).sum()), len(defined)
    return (
        f"{row}: {column} is undefined for {gone} of {total} images, which are left out of its "
        f"mean ({'; '.join(reasons)})."
    )


def with_mean_ranks(table: Table, convention: str) -> Table:
    """Return the table with its directions, a column of mean ranks, and how to read both."""
    bare = replace(table, digits=DIGITS, lower=tuple(c for c in LOWER if c in table.columns))
    ranks = metric_ranks(bare)
    rows = tuple(_with_mean_rank(row, ranks) for row in bare.rows)
    lowest = f"; of {', '.join(bare.lower)} the lowest value is best" if bare.lower else ""
    notes = (
        f'Metrics by the convention "{convention}"{lowest}.',
        "Mean rank: over the metrics that are defined, ties share the mean of their places.",
        *bare.notes,
    )
    lower = (*bare.lower, MEAN_RANK)
    return replace(bare, columns=(*bare.columns, MEAN_RANK), rows=rows, notes=notes, lower=lower)


def _with_mean_rank(row: Row, ranks: Mapping[str, Sequence[float]]) -> Row:
    mine = ranks.get(row.label, ()) if row.kind == "ours" else ()
    mean = Value(fmean(mine), None, 1) if mine else None
    return replace(row, values=(*row.values, mean))


def metric_ranks(table: Table) -> dict[str, list[float]]:
    """Return our rows' places, 1 is best, in every metric in which at least two have a value."""
    found: dict[str, list[float]] = {row.label: [] for row in table.rows if row.kind == "ours"}
    for place, column in enumerate(table.columns):
        shown = table.column(place)
        if column == MEAN_RANK or len(shown) < 2:
            continue
        sign = 1 if column in table.lower else -1
        for row in table.rows:
            value = row.values[place]
            if row.kind == "ours" and value is not None:
                mine = sign * round(value.mean, table.digits)
                before = sum(sign * other < mine for other in shown)
                equal = sum(sign * other == mine for other in shown)
                found[row.label].append(before + (equal + 1) / 2)
    return found
