"""What the folds of a cross-validation tell of the chance in a training.

A fold's score varies with its images and with its training. Where every fold was trained with
several seeds, their spread within folds is the training's. With one seed methods are compared fold
by fold: what is left of a two-way layout, methods by folds, is both, and the images' part of it is
known from the resamples. The folds' training images overlap, which no estimate of this kind can
see (Bengio and Grandvalet, JMLR 5 (2004)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.results.statistics.samples import Floats, SeedSpread


@dataclass(frozen=True, eq=False)
class FoldScores:
    """A method's scores by fold: ``seeds x folds x columns``, and ``resamples x folds x columns``.

    The resampled ones are means over the seeds.
    """

    points: NDArray[np.float64]
    resampled: NDArray[np.float64]

    def column(self, number: int) -> FoldScores:
        """Return those of one column, without the last axis."""
        return FoldScores(self.points[..., number], self.resampled[..., number])


def fold_spread(methods: Sequence[FoldScores]) -> SeedSpread:
    """Return the variance of a row's result over trainings: of the mean of a seed's folds.

    Takes one column's ``seeds x folds`` of each method. Nothing is known of one method with one
    seed, and where a fold's score is undefined.
    """
    if not all(np.isfinite(one.points).all() for one in methods):
        return SeedSpread()
    folds = methods[0].points.shape[1]
    several = [one.points for one in methods if len(one.points) > 1]
    if several:
        degrees = sum(folds * (len(points) - 1) for points in several)
        squares = sum(float(((points - points.mean(axis=0)) ** 2).sum()) for points in several)
        return SeedSpread(squares / degrees / folds, degrees)
    degrees = (len(methods) - 1) * (folds - 1)
    if not degrees:
        return SeedSpread()
    both = _left(np.stack([one.points[0] for one in methods])) / degrees
    again = np.stack([one.resampled for one in methods], axis=1)
    again = again[np.isfinite(again).all(axis=(1, 2))]
    images = _left(again - again.mean(axis=0)).mean() / degrees
    return SeedSpread(max(0.0, float(both - images)) / folds, degrees)


def _left(table: Floats) -> Floats:
    """Return the sum of squares that ``... x methods x folds`` leave in a two-way layout."""
    own = table - table.mean(axis=-1, keepdims=True)
    rest = own - own.mean(axis=-2, keepdims=True)
    squares: Floats = (rest**2).sum(axis=(-2, -1))
    return squares
