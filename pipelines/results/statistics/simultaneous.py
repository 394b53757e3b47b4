"""Statements about several methods at once that hold together: by the largest of their t values.

Differences are studentised by the variance over resampled scenes plus the pooled variance over
seeds. How large the largest gets among equal methods is simulated: normal noise of both sources,
and variances that are themselves estimated, of Wishart and chi-squared distribution.

Sources: Hansen, Lunde and Nason, Econometrica 79 (2011), the model confidence set with the range
statistic; Romano and Wolf, Journal of the American Statistical Association 100 (2005), step-down
by the maximum of t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.results.statistics.samples import Floats, Sample, SeedSpread, seed_spread
from pipelines.store.digests import derive_seed

DRAWS = 10_000
FEW = 60
"""The most scenes that are simulated one by one."""
LARGEST = 1_000_000
"""The most simulated t values at once; of more pairs than this allows there are fewer draws."""
NOTHING = 1e-12
"""A variance of this share of the methods' own is rounding."""
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Apart:
    """Differences of methods, pair by pair: first less second, with what chance does to their t.

    `error` is the standard error, `degrees` its degrees of freedom by Welch and Satterthwaite,
    `t` 0 for equal results and infinite for different ones without any spread. `chance`,
    float64[draws, pairs], holds the absolute t among equal methods.
    """

    pairs: Pairs
    mean: Floats
    error: Floats
    degrees: Floats
    t: Floats
    chance: Floats


def apart(
    samples: Sequence[Sample],
    pairs: Pairs,
    spread: SeedSpread | None = None,
    draws: int = DRAWS,
) -> Apart | None:
    """Compare pairs of methods that were resampled alike; None where nothing is known of them.

    `spread` is borrowed from elsewhere where no method has a second seed.
    """
    units = samples[0].units
    known = np.isfinite(values := np.stack([one.resampled for one in samples])).all(axis=0)
    if not units.several or known.sum() < 2:
        return None
    own = seed_spread(samples)
    spread = own if own.degrees or spread is None else spread
    first, second = pairs
    covariance = np.atleast_2d(np.cov(values[:, known])) * units.inflation
    parts = np.array([0.0 if one.fixed else 1 / len(one.points) for one in samples])
    images = (values[first][:, known] - values[second][:, known]).var(axis=1, ddof=1)
    images *= units.inflation
    own_size = np.maximum(covariance[first, first], covariance[second, second])
    images = np.where(images > NOTHING * own_size, images, 0.0)
    seeds = spread.variance * (parts[first] + parts[second])
    means = np.array([one.mean for one in samples])
    mean = means[first] - means[second]
    error = np.sqrt(images + seeds)
    draws = min(draws, max(1000, LARGEST // max(1, len(first))))
    chance = chance_of(covariance, units.degrees, parts, spread, pairs, draws, units.shares)
    chance[:, images + seeds == 0] = 0.0
    return Apart(
        pairs, mean, error, degrees_of(images, units.degrees, seeds, spread.degrees),
        _studentised(mean, error, np.abs(means).max()), chance,
    )  # fmt: skip


def _studentised(mean: Floats, error: Floats, size: float) -> Floats:
    mean = np.where(np.abs(mean) > NOTHING * size, mean, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean == 0, 0.0, mean / error)


def degrees_of(images: Floats, of_images: float, seeds: Floats, of_seeds: int) -> Floats:
    """Return the degrees of freedom of a sum of two variances (Welch, Satterthwaite)."""
    total = images + seeds
    share = np.divide(images, total, out=np.ones_like(total), where=total > 0)
    rest = (1 - share) ** 2 / of_seeds if of_seeds else 0.0
    found: Floats = 1 / (share**2 / of_images + rest)
    return found


def chance_of(
    covariance: Floats,
    degrees: float,
    parts: Floats,
    spread: SeedSpread,
    pairs: Pairs,
    draws: int,
    shares: Sequence[float] = (),
) -> Floats:
    """Return |t| of equal methods, float64[draws, pairs].

    Of few scenes, whose `shares` in all images differ, means and variances are simulated scene by
    scene: a large scene is in both. Of more, the variances have a Wishart distribution.
    """
    first, second = pairs
    root = _root(covariance)
    made = _draws(draws, len(root), degrees, tuple(shares), spread.degrees)
    noise = made.means @ root.T
    noise += made.seeds * np.sqrt(spread.variance * parts)
    factor = root @ made.roots
    estimated = factor @ factor.transpose(0, 2, 1)
    own = estimated.diagonal(axis1=1, axis2=2)
    variance = own[:, first] + own[:, second] - 2 * estimated[:, first, second]
    if spread.degrees:
        variance += made.scale * spread.variance * (parts[first] + parts[second])
    found: Floats = np.abs(noise[:, first] - noise[:, second])
    return found / np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))


class _Draws(NamedTuple):
    """What chance makes of `size` independent methods of unit variance, `draws` times.

    Means and their seeds' part float64[draws, size]; roots of the covariances as estimated,
    float64[draws, size, columns]; the seeds' variance as estimated, float64[draws, 1].
    """

    means: Floats
    roots: Floats
    seeds: Floats
    scale: Floats


@lru_cache(maxsize=4)
def _draws(
    draws: int, size: int, degrees: float, shares: tuple[float, ...], of_seeds: int
) -> _Draws:
    """Return the draws of a design, made once: every column of a table asks for the same."""
    rng = np.random.default_rng(derive_seed("max-t", size))
    if 1 < len(shares) <= FEW:
        draws = min(draws, max(1000, 4 * LARGEST // (len(shares) * size)))
        means, roots = _scene_by_scene(rng, draws, size, np.array(shares))
    else:
        means = rng.standard_normal((draws, size))
        roots = _wishart_root(rng, draws, size, degrees)
    seeds = rng.standard_normal((draws, size))
    scale = rng.chisquare(of_seeds, (draws, 1)) / of_seeds if of_seeds else np.ones((1, 1))
    return _Draws(means, roots, seeds, scale)


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    found: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return found


def _scene_by_scene(
    rng: np.random.Generator, draws: int, size: int, shares: Floats
) -> tuple[Floats, Floats]:
    """Return means of unit variance, and roots of their covariances as scenes estimate them."""
    scenes = rng.standard_normal((draws, size, len(shares)))
    mean = scenes @ shares
    rest = (scenes - mean[..., None]) * shares
    squares = float(shares @ shares)
    expected = float(shares**2 @ (1 - 2 * shares + squares))
    return mean / squares**0.5, rest / expected**0.5


def _wishart_root(rng: np.random.Generator, draws: int, size: int, degrees: float) -> Floats:
    """Return roots of estimated unit covariances, float64[draws, size, columns] (Bartlett)."""
    if degrees < size:
        columns = max(1, round(degrees))
        few: Floats = rng.standard_normal((draws, size, columns))
        few /= np.sqrt(columns)
        return few
    found: Floats = np.tril(rng.standard_normal((draws, size, size)), -1)
    diagonal = np.arange(size)
    found[:, diagonal, diagonal] = np.sqrt(rng.chisquare(degrees - diagonal, (draws, size)))
    found /= np.sqrt(degrees)
    return found


def tail(degrees: Floats, t: Floats | float) -> Floats:
    """Return the two-sided p of Student's t."""
    from scipy.special import stdtr  # scipy.stats takes a second to import

    found: Floats = 2 * stdtr(degrees, -np.abs(t))
    return found


def critical(largest: Floats, alpha: float) -> float:
    """Return what the largest |t| must exceed for its share in chance to be at most alpha."""
    place = max(0, int(alpha * (1 + len(largest))) - 1)
    return float(-np.partition(-largest, place)[place])


def exceeded(largest: Floats, t: float, degrees: Floats) -> float:
    """Return p of the largest |t| of several: its share in what chance makes of them.

    Where fewer than ten draws reach it, p is the sum of Student's tails of all that are compared
    (Bonferroni's bound), if that is less: draws tell nothing below their own number.
    """
    reached = int((largest >= t).sum())
    p = (1 + reached) / (1 + len(largest))
    return min(p, float(tail(degrees, t).sum())) if reached < 10 else p
