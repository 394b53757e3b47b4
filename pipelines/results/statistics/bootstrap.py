"""How sure a mean over images is: percentile bootstrap intervals, paired across methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.results.statistics.comparison import percentile_interval
from pipelines.store.digests import derive_seed

Values = NDArray[np.float64]
RESAMPLES = 1000


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


def resampled_means(values: Values) -> Values:
    """Return the mean of each column of ``images x metrics`` values, ``RESAMPLES x metrics``.

    Undefined values (nan) are left out of every mean, which is nan where all are.
    """
    known = np.isfinite(values)
    counts = resamples(len(values))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no defined value
        means: Values = (counts @ np.where(known, values, 0.0)) / (counts @ known)
    return means


def intervals(values: Values) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of the mean of each column of ``images x metrics`` values.

    None where fewer than two values are defined.
    """
    defined = np.isfinite(values).sum(axis=0)
    return [
        percentile_interval(column) if number > 1 else None
        for column, number in zip(resampled_means(values).T, defined, strict=True)
    ]
