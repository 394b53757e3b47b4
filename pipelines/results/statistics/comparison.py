"""Intervals, paired comparisons, corrections and ranks, as pure functions on arrays.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 to 15; Welch,
Biometrika 34 (1947); Satterthwaite, Biometrics Bulletin 2 (1946); Holm, Scandinavian Journal of
Statistics 6 (1979); Kendall, Biometrika 30 (1938).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 95.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """One method's results in one column.

    `points` (float64[seeds]) are the results on the test set itself, by training seed, whose names
    are `seeds` where they are known; `resampled` (float64[resamples]) is the mean over the seeds on
    each resample of its `units`, the scenes that the test images fall into. `fixed` says that
    nothing is trained: its one result has no spread over seeds.
    """

    points: Floats
    resampled: Floats
    units: int
    fixed: bool = False
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """First less second: the mean difference, its 95 % interval, and the two-sided p."""

    mean: float
    low: float
    high: float
    p: float


def percentile_interval(values: Floats, point: float | None = None) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of resampled values; None where none is defined.

    With the estimate on the images themselves, `point`, it is corrected for bias: where a share u
    of the resampled values lies below it, the ends are the percentiles at phi(2 z(u) -+ 1.96)
    (Efron 1981; Efron and Tibshirani 1993, section 14.3 with no acceleration). AP needs it: in 270
    draws of 100 images with random boxes, the plain interval of mAP50-95 covered the truth 73 times
    of 100, this one 91 times.
    Undefined values (nan) are left out: the interval holds for resamples that show the class.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    ends = np.array([(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    if point is not None:
        from scipy.special import ndtr, ndtri  # scipy.stats takes a second to import

        below = ((known < point).mean() + (known <= point).mean()) / 2
        # One resample at least on either side, so that the correction stays finite.
        below = min(max(below, 1 / (len(known) + 1)), len(known) / (len(known) + 1))
        ends = 100 * ndtr(2 * ndtri(below) + ndtri(ends / 100))
    low, high = np.percentile(known, ends)
    return float(low), float(high)


def bootstrap_p(apart: Floats) -> float:
    """Return the two-sided p of resampled differences: twice the rarer sign's share, at most 1.

    One is added to both counts, so that p is never below what the resamples can tell.
    """
    rarer = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(apart) + 1))


def compare(first: Sample, second: Sample) -> Comparison | None:
    """Compare two methods that were resampled alike; None where nothing can be said.

    With one seed each: percentile bootstrap over units. Else units and seeds are both random:
    Student's t with the bootstrap variance of the mean difference over units (units - 1 degrees
    of freedom) plus s^2 / k per method over its k seeds, degrees of freedom by Welch and
    Satterthwaite. What a seed does to single images is in both parts, which errs on the safe
    side. A trained method with one finished seed borrows the other's s^2. Nothing can be said
    about one unit alone.
    """
    mean = float(first.points.mean() - second.points.mean())
    apart = first.resampled - second.resampled
    apart = apart[np.isfinite(apart)]
    if min(first.units, second.units) < 2 or not apart.size or not np.isfinite(mean):
        return None
    if len(first.points) == len(second.points) == 1:
        low, high = percentile_interval(apart) or (mean, mean)
        return Comparison(mean, low, high, bootstrap_p(apart))
    images = (float(apart.var(ddof=1)), first.units - 1)
    return _welch(mean, [images, *_seed_terms(first, second)])


def _seed_terms(first: Sample, second: Sample) -> list[tuple[float, int]]:
    """Return the variances of the two means over seeds, each with its degrees of freedom."""
    several = [sample for sample in (first, second) if len(sample.points) > 1]
    spread = [float(sample.points.var(ddof=1)) for sample in several]
    freedom = [len(sample.points) - 1 for sample in several]
    if len(several) == 1 and not (first.fixed or second.fixed):
        return [(spread[0] / len(first.points) + spread[0] / len(second.points), freedom[0])]
    means = [s / len(sample.points) for s, sample in zip(spread, several, strict=True)]
    return list(zip(means, freedom, strict=True))


def _welch(mean: float, terms: list[tuple[float, int]]) -> Comparison:
    from scipy.special import stdtr, stdtrit

    variance = sum(part for part, _ in terms)
    if variance == 0:
        return Comparison(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    # Shares instead of variances: the squares of tiny ones would vanish.
    freedom = 1 / sum((part / variance) ** 2 / degrees for part, degrees in terms)
    error = variance**0.5
    half = float(stdtrit(freedom, 0.5 + LEVEL / 200)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Comparison(mean, mean - half, mean + half, p)


def holm(p: Floats) -> Floats:
    """Return p adjusted by Holm's step-down procedure, in the given order."""
    order = np.argsort(p, kind="stable")
    stepped = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def rank_shares(values: Floats, *, lower: bool = False) -> Floats:
    """Return the share of resamples in which each method takes each place.

    From float64[resamples, methods] to float64[methods, places]; the first place is the highest
    value's, or with `lower` the lowest's. Ties share their places evenly; nan comes last.
    """
    before, equal = _compared(values, lower)
    places = np.arange(1, values.shape[1] + 1)
    taken = (before[..., None] < places) & (places <= (before + equal)[..., None])
    shares: Floats = (taken / equal[..., None]).mean(axis=0)
    return shares


def places(values: Floats, *, lower: bool = False) -> Floats:
    """Return each method's place in each resample, float64[resamples, methods] as `values`.

    Ties share the mean of their places; nan has none, and does not count.
    """
    before, equal = _compared(values, lower)
    return np.where(np.isnan(values), np.nan, before + (equal + 1) / 2)


def _compared(values: Floats, lower: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many methods are better, and how many equal (itself too)."""
    merit = np.where(np.isnan(values), -np.inf, -values if lower else values)
    before = (merit[:, None, :] > merit[:, :, None]).sum(axis=2)
    equal = (merit[:, None, :] == merit[:, :, None]).sum(axis=2)
    return before, equal


def kendall(first: Floats, second: Floats) -> tuple[float, float] | None:
    """Return Kendall's tau-b of two lists of scores, and its two-sided p (exact without ties).

    None under three methods, or where all of a list are equal.
    """
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy.stats import kendalltau

    found = kendalltau(first, second)
    return float(found.statistic), float(found.pvalue)
