"""Which difference an experiment can see: the power of the procedure behind the confidence set.

A method leaves the set when the largest of all pairs' t exceeds what chance makes of it among
equal methods. A pair that truly differs has a t of the noncentral t distribution: the smallest
difference that is seen is the one whose t exceeds that bound with the wanted probability. That
others may have left before, which lowers the bound, is not counted on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.results.statistics.best import ALPHA
from pipelines.results.statistics.samples import Sample, SeedSpread, Units, seed_spread
from pipelines.results.statistics.simultaneous import NOTHING, apart, chance_of, degrees_of

POWER = 0.8
DRAWS = 4000


@dataclass(frozen=True)
class Variances:
    """What makes results differ by chance, in squares of the column's unit.

    `images` is the variance of a difference of two methods over test sets of `units`; `training`
    that of one training's result. `degrees` are those of the training's variance, 0 if assumed.
    """

    images: float
    units: Units
    training: float
    degrees: int = 0

    def of(self, share: float) -> Variances:
        """Return the variances of a test set of `share` times as many scenes of the same kind."""
        number = max(1, round(self.units.number * share))
        units = Units(number, max(1.0, self.units.degrees * share), self.units.inflation)
        return replace(self, images=self.images / share, units=units)


def variances(samples: Sequence[Sample], spread: SeedSpread | None = None) -> Variances | None:
    """Return the variances behind methods that were tested alike: of images, the pairs' median.

    None where they are not known: of one method, or of one scene. `spread` is borrowed where no
    method has a second seed.
    """
    pairs = np.triu_indices(len(samples), 1)
    found = apart(samples, pairs, spread, draws=1) if len(samples) > 1 else None
    if found is None:
        return None
    own = seed_spread(samples)
    seeds = own if own.degrees or spread is None else spread
    parts = np.array([0.0 if one.fixed else 1 / len(one.points) for one in samples])
    images = found.error**2 - seeds.variance * (parts[pairs[0]] + parts[pairs[1]])
    several = images[images > NOTHING * found.error**2]
    median = float(np.median(several)) if several.size else 0.0
    return Variances(median, samples[0].units, seeds.variance, seeds.degrees)


def smallest_difference(
    known: Variances,
    methods: int,
    seeds: float,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
    draws: int = DRAWS,
) -> float:
    """Return which difference of two of so many methods is seen with probability `power`.

    `seeds` of each method, infinitely many for what more of them cannot better; with one nothing
    is known of trainings, and the difference is one of trained networks.
    """
    several = seeds > 1
    variance = known.training if several else 0.0
    degrees = methods * (min(int(seeds), 1000) - 1) if several and math.isfinite(seeds) else 0
    parts = np.full(methods, 1 / seeds if several else 0.0)
    spread = SeedSpread(variance, degrees)
    pairs = np.triu_indices(methods, 1)
    covariance = np.eye(methods) * known.images / 2
    drawn = chance_of(covariance, known.units.degrees, parts, spread, pairs, draws)
    bound = float(np.quantile(drawn.max(axis=1), 1 - alpha))
    of_seeds = 2 * variance * float(parts[0])
    if known.images + of_seeds == 0:
        return 0.0
    freedom = degrees_of(
        np.array([known.images]), known.units.degrees, np.array([of_seeds]), degrees
    )
    return math.sqrt(known.images + of_seeds) * _noncentrality(bound, float(freedom[0]), power)


def _noncentrality(bound: float, degrees: float, power: float) -> float:
    """Return how many standard errors apart two methods are whose t exceeds `bound` so often."""
    from scipy.special import nctdtrinc, ndtri

    if degrees > 1e4:  # normal, and beyond what scipy's inverse is exact for
        return bound + float(ndtri(power))
    return float(nctdtrinc(degrees, 1 - power, bound))


def seeds_for(
    difference: float, known: Variances, methods: int, *, power: float, alpha: float, most: int
) -> int | None:
    """Return the least number of seeds, from 2 on, that lets a difference be seen, up to `most`."""

    def seen(seeds: int) -> bool:
        least = smallest_difference(known, methods, seeds, power=power, alpha=alpha)
        return least <= difference

    if not seen(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def share_for(
    difference: float, known: Variances, methods: int, seeds: int, *, power: float, alpha: float
) -> float | None:
    """Return how many times the test images it takes with so many seeds; None where none suffice.

    Up to ten thousand times as many are looked at.
    """

    def least(share: float) -> float:
        return smallest_difference(known.of(share), methods, seeds, power=power, alpha=alpha)

    low, high = 1e-4, 1e4
    if least(high) > difference:
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if least(middle) <= difference else (middle, high)
    return high


def seen_by(
    samples: Sequence[Sample],
    spread: SeedSpread | None = None,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
) -> tuple[float, float] | None:
    """Return the smallest difference that these results could show, and with any number of seeds.

    Both are of the median pair. None where nothing is known of chance.
    """
    known = variances(samples, spread)
    found = apart(samples, np.triu_indices(len(samples), 1), spread, DRAWS) if known else None
    if known is None or found is None:
        return None
    bound = float(np.quantile(found.chance.max(axis=1), 1 - alpha))
    least: list[float] = [
        error * _noncentrality(bound, degrees, power)
        for error, degrees in zip(found.error.tolist(), found.degrees.tolist(), strict=True)
        if error > 0
    ]
    if not least:
        return None
    limit = smallest_difference(known, len(samples), math.inf, power=power, alpha=alpha)
    return float(np.median(least)), min(limit, float(np.median(least)))
