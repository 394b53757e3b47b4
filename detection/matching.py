"""COCO's greedy matching of detections to boxes, by image, class and IoU, kept for resampling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.ap import Detection

IOUS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100
"""Per image and class, as in `average_precision`."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """One class's detections by falling score, as COCOeval ranks them over the whole set.

    `image` (int64[n]) is the place of each detection's image in the order of the image ids,
    `hits` (bool[10, n]) whether it finds a box at each of `IOUS`, and `objects` (int64[images])
    how many boxes of the class each image has.
    """

    image: Ints
    score: Floats
    hits: NDArray[np.bool_]
    objects: Ints


def rankings(
    ground_truth: Mapping[str, Any], detections: Sequence[Detection], classes: Sequence[str]
) -> list[Ranking]:
    """Return one ranking per class; the arguments are those of `average_precision`, checked there.

    Source: COCOeval.evaluateImg, area "all", no crowds. Ties in score keep the order of the images
    and, within an image, that of the detections.
    """
    shown = sorted(ground_truth["images"], key=itemgetter("id"))
    by_id = {image["id"]: place for place, image in enumerate(shown)}
    by_name = {image["file_name"]: place for place, image in enumerate(shown)}
    objects = ground_truth["annotations"]
    truth = _sorted_boxes(objects, [by_id[box["image_id"]] for box in objects], None)
    scores = np.array([item["score"] for item in detections], dtype=np.float64)
    found = _sorted_boxes(detections, [by_name[item["image"]] for item in detections], scores)
    return [
        _ranking(truth.of(category), found.of(category), len(shown))
        for category in range(1, len(classes) + 1)
    ]


@dataclass(frozen=True)
class _Boxes:
    """Boxes ordered by image and, where there are scores, by falling score within an image."""

    image: Ints
    category: Ints
    corners: Floats
    score: Floats

    def of(self, category: int) -> _Boxes:
        return self.at(self.category == category)

    def at(self, places: NDArray[Any]) -> _Boxes:
        return _Boxes(
            self.image[places], self.category[places], self.corners[places], self.score[places]
        )


def _sorted_boxes(items: Sequence[Any], images: Sequence[int], scores: Floats | None) -> _Boxes:
    known = np.zeros(len(items)) if scores is None else scores
    made = _Boxes(
        np.array(images, dtype=np.int64),
        np.array([item["category_id"] for item in items], dtype=np.int64),
        np.array([item["bbox"] for item in items], dtype=np.float64).reshape(-1, 4),
        known,
    )
    return made.at(np.lexsort((-known, made.image)))


def _ranking(truth: _Boxes, found: _Boxes, images: int) -> Ranking:
    place = np.arange(len(found.image)) - np.searchsorted(found.image, found.image)
    found = found.at(place < MAX_DETECTIONS)
    objects = np.bincount(truth.image, minlength=images)
    hits = np.zeros((len(IOUS), len(found.image)), dtype=np.bool_)
    detection, box, overlap = _near(truth, found, objects)
    for row, threshold in zip(hits, IOUS, strict=True):
        near = overlap >= threshold
        row[list(_greedy(detection[near], box[near], overlap[near]))] = True
    order = np.argsort(-found.score, kind="stable")
    return Ranking(found.image[order], found.score[order], hits[:, order], objects)


def _near(truth: _Boxes, found: _Boxes, objects: Ints) -> tuple[Ints, Ints, Floats]:
    """Return the pairs of detection and box of one image that overlap enough to match, with IoU."""
    number = objects[found.image]
    detection = np.repeat(np.arange(len(number)), number)
    within = np.arange(len(detection)) - np.repeat(np.cumsum(number) - number, number)
    box = within + np.repeat((np.cumsum(objects) - objects)[found.image], number)
    overlap = _iou(found.corners[detection], truth.corners[box])
    near = overlap >= IOUS[0]
    return detection[near], box[near], overlap[near]


def _iou(first: Floats, second: Floats) -> Floats:
    """Return the IoU of boxes x, y, width, height in COCO's own order of operations."""
    ends = np.minimum(first[:, 2:] + first[:, :2], second[:, 2:] + second[:, :2])
    sides = np.maximum(ends - np.maximum(first[:, :2], second[:, :2]), 0)
    shared = sides[:, 0] * sides[:, 1]
    union = first[:, 2] * first[:, 3] + second[:, 2] * second[:, 3] - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return overlap


def _greedy(detection: Ints, box: Ints, overlap: Floats) -> Iterator[int]:
    """Yield the detections that get a box: each the nearest free one, the last of equal ones."""
    taken: set[int] = set()
    pairs = zip(detection.tolist(), overlap.tolist(), box.tolist(), strict=True)
    for one, candidates in groupby(pairs, key=itemgetter(0)):
        free = [(iou, place) for _, iou, place in candidates if place not in taken]
        if free:
            taken.add(max(free)[1])
            yield one
