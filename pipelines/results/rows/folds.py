"""Cells put together by seed, and what the folds' trainings tell of the chance in a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.results.finished import FinishedCell
from pipelines.results.statistics.folds import fold_spread
from pipelines.results.values import Measured

Group = tuple[FinishedCell, ...]
"""A seed's cell, or its folds."""


def complete(cells: Sequence[FinishedCell]) -> list[Group]:
    """Return the seeds of a row of which all folds are finished."""
    found: dict[int, list[FinishedCell]] = {}
    for one in cells:
        found.setdefault(one.cell.seed, []).append(one)
    return [tuple(own) for own in found.values() if len(own) == number_of(own)]


def by_seed(cells: Sequence[FinishedCell]) -> list[Group]:
    """Return the same, a result that several seeds share, as nothing of it is drawn, once."""
    unique = {tuple(one.result.stage.key for one in own): own for own in complete(cells)}
    return list(unique.values())


def number_of(cells: Sequence[FinishedCell]) -> int:
    """Return how many folds a seed has; one where the test images are one split."""
    fold = cells[0].cell.fold
    return 1 if fold is None else fold.of


def cross_validated(cells: Sequence[FinishedCell]) -> tuple[str, ...]:
    """Return how the folds' results are put together, in a sentence, where there are folds."""
    if not cells or (number := number_of(cells)) == 1:
        return ()
    task = cells[0].cell.task
    pooled = task.pool is not None or task.per_image
    how = "of all folds' images together" if pooled else "the mean of the folds'"
    return (
        f"Cross-validated: {number} folds of whole scenes test every image once, by networks that "
        f"learned from the others; a score is {how}.",
    )


def with_spread(measured: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return the same with the variance of a training by column, where the folds tell it."""
    folded = [one.folds for one in measured.values() if one.folds is not None]
    if not folded or len(folded) < len(measured):
        return dict(measured)
    columns = range(folded[0].points.shape[2])
    found = tuple(fold_spread([one.column(n) for one in folded]) for n in columns)
    return {row: replace(one, spreads=found) for row, one in measured.items()}
