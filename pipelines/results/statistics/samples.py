"""What is compared: one method's results in one column, and what its test images are drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The `number` of scenes, or of images that are each their own, that were resampled.

    A mean's variance over resamples times `inflation` is unbiased, and is known with `degrees` of
    freedom; both follow from the sizes of the scenes. Nothing is known of fewer than two. `shares`
    are those of the scenes in all images, where they are known.
    """

    number: int
    degrees: float
    inflation: float
    shares: tuple[float, ...] = ()

    @property
    def several(self) -> bool:
        """Whether there is any spread to see."""
        return self.number > 1


def units_of(sizes: Sequence[int]) -> Units:
    """Return what scenes of so many images each tell of a mean over all images.

    Scene means are taken as equally uncertain, as they are where the images of a scene are alike.
    With shares w and their sum of squares W the residuals have the covariance
    ``w_s w_t ([s = t] - w_s - w_t + W)``, whose traces give the degrees of freedom. Source: Bell
    and McCaffrey, Survey Methodology 28 (2002).
    """
    number, total = len(sizes), sum(sizes)
    if number < 2:
        return Units(number, 0.0, 1.0)
    unique, often = np.unique(np.asarray(sizes, dtype=np.float64) / total, return_counts=True)
    squares = float(often @ unique**2)
    apart = squares - unique[:, None] - unique
    outside = (unique[:, None] * unique * apart) ** 2
    own = unique**2 * (1 - 2 * unique + squares)
    trace = float(often @ own)
    twice = float(often @ outside @ often + often @ (own**2 - np.diag(outside)))
    shares = tuple(size / total for size in sizes)
    return Units(number, trace**2 / twice, squares / trace, shares)


@dataclass(frozen=True, eq=False)
class Sample:
    """One method's results in one column.

    `points` (float64[seeds]) are the results on the test set itself, by training seed, `seeds`
    their names where they are known; `resampled` (float64[resamples]) is the mean over the seeds
    on each resample of the test set's `units`. `fixed` says that nothing is trained: its one
    result has no spread over seeds. `spread` is that of a point where more than the points tell it.
    """

    points: Floats
    resampled: Floats
    units: Units
    fixed: bool = False
    seeds: tuple[int, ...] = field(default=())
    spread: SeedSpread | None = None

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.points.mean())


@dataclass(frozen=True)
class SeedSpread:
    """The variance of one training's result, pooled over methods, with its degrees of freedom.

    `paired`: what a seed does to all methods alike is taken out, as it is in their differences.
    Without degrees of freedom the variance is unknown, and 0.
    """

    variance: float = 0.0
    degrees: int = 0
    paired: bool = False


LEAST_PAIRED = 8
"""Degrees of freedom from which on seeds are paired: of fewer, pairing costs more than it saves."""


def seed_spread(samples: Sequence[Sample]) -> SeedSpread:
    """Return the seed variance pooled over the trained methods, of m (k - 1) degrees of freedom.

    Where all of them have the same seeds, what these share (first weights, order of the images)
    is taken out as in a two-way layout, with (m - 1) (k - 1) degrees of freedom, if those are at
    least `LEAST_PAIRED`.
    """
    trained = [one for one in samples if not one.fixed]
    several = [one for one in trained if len(one.points) > 1]
    told = [one.spread for one in trained if one.spread is not None]
    if told:
        return told[0]
    degrees = sum(len(one.points) - 1 for one in several)
    if not degrees:
        return SeedSpread()
    if len({one.seeds for one in trained}) == 1 and trained[0].seeds:
        table = np.stack([one.points for one in trained])
        own = table - table.mean(axis=1, keepdims=True)
        left = (len(trained) - 1) * (table.shape[1] - 1)
        if left >= LEAST_PAIRED:
            rest = own - own.mean(axis=0)
            return SeedSpread(float((rest**2).sum()) / left, left, paired=True)
    squares = sum(float(((one.points - one.mean) ** 2).sum()) for one in several)
    return SeedSpread(squares / degrees, degrees)
