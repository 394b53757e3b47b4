"""Places and the agreement of orders, as pure functions on arrays.

Source: Kendall, Biometrika 30 (1938).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def kendall(first: Floats, second: Floats) -> float | None:
    """Return Kendall's tau-b of two lists of scores.

    None under three methods, or where all of a list are equal.
    """
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    signs = [_signs(one) for one in (first, second)]
    sizes = [float(np.abs(one).sum()) for one in signs]
    return float((signs[0] * signs[1]).sum() / np.sqrt(sizes[0] * sizes[1]))


def tau_range(first: Floats, second: Floats, known: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the least and the largest tau if all pairs but the `known` ones may be either way."""
    concordant = _signs(first) * _signs(second)
    middle, free = float(concordant[known].sum()), int((~known).sum())
    return (middle - free) / len(known), (middle + free) / len(known)


def _signs(values: Floats) -> Floats:
    """Return the sign of each pair's difference, in the order of `triu_indices`."""
    one, other = np.triu_indices(len(values), 1)
    found: Floats = np.sign(values[one] - values[other])
    return found
