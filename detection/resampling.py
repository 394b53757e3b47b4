"""AP of resampled test sets, exact: every image counts as often as it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.ap import RECALLS
from detection.matching import IOUS, Ranking
from fusion.nan import mean_present

CHUNK = 1 << 18
"""Numbers in one work array: few enough for a processor's cache."""

Counts = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ResampledAp:
    """AP in [0, 1] by resample and class, nan where a resample does not show the class."""

    ap50: Floats
    """float64[resamples, classes] at IoU 0.5."""
    ap: Floats
    """The same, averaged over IoU 0.50, 0.55, ..., 0.95."""

    @property
    def map50(self) -> Floats:
        """float64[resamples], the mean of `ap50` over the classes present; nan when none is."""
        return mean_present(self.ap50)

    @property
    def map(self) -> Floats:
        """float64[resamples], the mean of `ap` over the classes present; nan when none is."""
        return mean_present(self.ap)


class ApResampler:
    """Detections matched once, from which the AP of any resample of the images follows.

    It equals `evaluate` on a data set that holds each image as often as it was drawn,
    the copies side by side. Why that needs no second matching, with COCO's AP as the mean over 101
    recalls of the envelope, the highest precision at that recall or above:

    - Matching is per image, so a copy of an image is matched as the image is, and ranks beside it:
      a detection drawn w times is a run of w equal ones.
    - Precision falls along a run of false ones and rises along one of true ones, (a + j) / (b + j)
      for j = 1 ... w. The envelope inside a true run is thus the one at its end, and only the ends
      of true runs can be its corners.
    - Recall rises in true runs only, so a recall of the 101 is first reached inside one: AP is the
      sum over them of the envelope x the recalls first reached there, / 101.
    - Detections of one image with equal scores are the exception: their copies alternate (1, 2, 1,
      2, ...). Such copies are laid out singly, the j-th with weight 1 where w >= j.

    Source: COCOeval.accumulate; the bootstrap over images is Efron and Tibshirani's (1993).
    """

    def __init__(self, classes: Sequence[Ranking]) -> None:
        """Take the detections of each class as `detection.matching.rankings` matched them."""
        self._classes = classes

    def resample(self, counts: Counts) -> ResampledAp:
        """Return the AP of each row of `counts`, int[resamples, images] in order of image ids."""
        drawn = np.ascontiguousarray(counts, dtype=np.int32)
        by_class = [_class_ap(ranking, drawn) for ranking in self._classes]
        ap = np.stack(by_class, axis=-1) if by_class else np.empty((len(IOUS), len(drawn), 0))
        return ResampledAp(ap[0], ap.mean(axis=0))


def _class_ap(ranking: Ranking, counts: NDArray[np.int32]) -> Floats:
    """Return float64[10, resamples], the AP of a class at each IoU."""
    place, copy = _laid_out(ranking, int(counts.max(initial=0)))
    image, hits = ranking.image[place], ranking.hits[:, place]
    objects = counts @ ranking.objects
    step = max(1, CHUNK // max(len(place), 1))
    found = np.empty((len(IOUS), len(counts)))
    for start in range(0, len(counts), step):
        part = slice(start, start + step)
        weights = counts[part].take(image, axis=1)
        weights[:, copy > 0] = weights[:, copy > 0] >= copy[copy > 0]
        found[:, part] = _weighted_ap(weights, hits, objects[part])
    return found


def _laid_out(ranking: Ranking, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ranking's places with tied ones copy by copy: place, and which copy (0: all)."""
    same = (np.diff(ranking.score) == 0) & (np.diff(ranking.image) == 0)
    block = np.concatenate(([0], np.cumsum(~same)))[: len(ranking.image)]
    size, true = np.bincount(block), np.bincount(block, ranking.hits.any(axis=0))
    tied = ((size > 1) & (true > 0))[block]
    place = np.repeat(np.arange(len(block)), np.where(tied, most, 1))
    copy = np.arange(len(place)) - np.searchsorted(place, place) + 1
    copy[~tied[place]] = 0
    order = np.lexsort((place, copy, block[place]))
    return place[order], copy[order]


def _weighted_ap(
    weights: NDArray[np.int32], hits: NDArray[np.bool_], objects: NDArray[np.int64]
) -> Floats:
    """Return float64[10, resamples] from int32[resamples, n] weights in order of the ranking."""
    ranked = np.maximum(np.cumsum(weights, axis=1, dtype=np.int32), 1)
    reached = _recalls_reached(objects)
    start = np.arange(len(weights))[:, None] * reached.shape[1]
    found = np.empty((len(hits), len(weights)))
    for row, hit in zip(found, hits, strict=True):
        places = np.flatnonzero(hit)
        true = np.cumsum(weights.take(places, axis=1), axis=1, dtype=np.int64)
        precision = true / ranked.take(places, axis=1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        steps = np.diff(reached.take(true + start), axis=1, prepend=np.uint8(0))
        row[:] = np.einsum("rn,rn->r", envelope, steps) / len(RECALLS)
    found[:, objects == 0] = np.nan
    return found


def _recalls_reached(objects: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return how many of the 101 recalls k true ones reach: uint8[resamples, k = 0 ... most].

    The recall 0 is reached by k = 0 already, where the envelope is the highest precision of all.
    """
    recall = np.minimum(np.arange(objects.max() + 1) / np.maximum(objects, 1)[:, None], 1)
    # COCO's recalls are floats (0.07 lies above 7 / 100): whole hundredths, then their own test.
    hundredths = (100 * recall + 1e-9).astype(np.uint8)
    reached: NDArray[np.uint8] = hundredths + (RECALLS[hundredths] <= recall).astype(np.uint8)
    return reached
