"""How sure a mean over images is: percentile bootstrap intervals, paired across methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.results.statistics.intervals import percentile_interval
from pipelines.results.statistics.samples import units_of
from pipelines.store.digests import derive_seed

Values = NDArray[np.float64]
Scenes = NDArray[np.intp]
"""The number of each image's scene, from 0."""

RESAMPLES = 1000


def numbered(names: Iterable[str], scenes: Mapping[str, str]) -> Scenes:
    """Return the number of each image's scene, from 0 in the order of their first images.

    An image of which no scene is known is its own.
    """
    known: dict[tuple[str, ...], int] = {}
    keys = ((scenes[name],) if name in scenes else (name, "alone") for name in names)
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.intp)


def sizes(scenes: Scenes) -> tuple[int, ...]:
    """Return how many images each scene has."""
    return tuple(np.bincount(scenes).tolist())


def resamples(images: int, scenes: Scenes | None = None, fold: int = 0) -> Values:
    """Return how often each resample draws each image, ``RESAMPLES x images``.

    Whole scenes are drawn, as many as there are, each with all its images: near-duplicates count
    as one. Without `scenes` each image is its own. The draws depend on the number of scenes alone:
    methods that are scored on the same images are resampled alike, so that their intervals are of
    the same thousand imagined test sets. Each `fold` of a cross-validation has draws of its own.
    """
    many = images if scenes is None else len(sizes(scenes))
    rng = np.random.default_rng(derive_seed("bootstrap", many, *((fold,) if fold else ())))
    drawn = rng.integers(many, size=(RESAMPLES, many))
    places = drawn + many * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(places.ravel(), minlength=RESAMPLES * many)
    by_scene: Values = counts.reshape(RESAMPLES, many).astype(np.float64)
    return by_scene if scenes is None else by_scene[:, scenes]


def resampled_means(values: Values, scenes: Scenes | None = None) -> Values:
    """Return the mean of each column of ``images x metrics`` values, ``RESAMPLES x metrics``.

    Undefined values (nan) are left out of every mean, which is nan where all are.
    """
    known = np.isfinite(values)
    counts = resamples(len(values), scenes)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no defined value
        means: Values = (counts @ np.where(known, values, 0.0)) / (counts @ known)
    return means


def intervals(values: Values, scenes: Scenes | None = None) -> list[tuple[float, float] | None]:
    """Return the 95 % interval of the mean of each column of ``images x metrics`` values.

    None where fewer than two values are defined, or all images are of one scene.
    """
    units = units_of([1] * len(values) if scenes is None else sizes(scenes))
    defined = np.isfinite(values).sum(axis=0)
    return [
        percentile_interval(column, units) if number > 1 and units.several else None
        for column, number in zip(resampled_means(values, scenes).T, defined, strict=True)
    ]
