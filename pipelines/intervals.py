"""How sure a mean over images is: percentile bootstrap intervals, paired across methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.digests import derive_seed

Values = NDArray[np.float64]
RESAMPLES = 1000
LEVEL = 95.0


def resamples(images: int) -> Values:
    """Return how often each resample draws each image, ``RESAMPLES x images``.

    The draws depend on the number of images alone: methods that are scored on the same images are
    resampled alike, so that their intervals are of the same thousand imagined test sets.
    """
    rng = np.random.default_rng(derive_seed("bootstrap", images))
    drawn = rng.integers(images, size=(RESAMPLES, images))
    places = drawn + images * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(places.ravel(), minlength=RESAMPLES * images)
    return counts.reshape(RESAMPLES, images).astype(np.float64)


def intervals(values: Values) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of the mean of each column of ``images x metrics`` values.

    Undefined values (nan) are left out of every mean. None where fewer than two are defined.
    """
    known = np.isfinite(values)
    counts = resamples(len(values))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no defined value
        means = (counts @ np.where(known, values, 0.0)) / (counts @ known)
    tail = (100 - LEVEL) / 2
    found: list[tuple[float, float] | None] = []
    for column, number in zip(means.T, known.sum(axis=0), strict=True):
        low, high = np.nanpercentile(column, (tail, 100 - tail)) if number > 1 else (0.0, 0.0)
        found.append((float(low), float(high)) if number > 1 else None)
    return found
