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
from detection.datasets import Box

IOUS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100
"""Per image and class, as in `evaluate`."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """One class's detections by falling score, as COCOeval ranks them over the whole set.

    `detection` (int64[n]) is the place of each among those given, `image` (int64[n]) that of its
    image in the order of the image ids, `hits` (bool[10, n]) whether it finds a box at each of
    `IOUS`, `box` (int64[n]) the place of the one at IoU 0.5 among the annotations, or -1, and
    `objects` (int64[images]) how many boxes of the class each image has.
    """

    detection: Ints
    image: Ints
    score: Floats
    hits: NDArray[np.bool_]
    box: Ints
    objects: Ints


def rankings(
    ground_truth: Mapping[str, Any], detections: Sequence[Detection], classes: Sequence[str]
) -> list[Ranking]:
    """Return one ranking per class; the arguments are those of `evaluate`, checked there.

    Source: COCOeval.evaluateImg, area "all", no crowds. Ties in score keep the order of the images
    and, within an image, that of the detections.
    """
    shown = sorted(ground_truth["images"], key=itemgetter("id"))
    by_id = {image["id"]: place for place, image in enumerate(shown)}
    by_name = {image["file_name"]: place for place, image in enumerate(shown)}
    objects = ground_truth["annotations"]
    truth = _sorted_boxes(
        [box["category_id"] for box in objects],
        [box["bbox"] for box in objects],
        [by_id[box["image_id"]] for box in objects],
    )
    found = _detected(detections, [by_name[item["image"]] for item in detections])
    return [
        _ranking(truth.of(category), found.of(category), len(shown))
        for category in range(1, len(classes) + 1)
    ]


def boxes_found(ranked: Sequence[Ranking], detections: int) -> list[int | None]:
    """Return, per detection that was ranked, the place of the box it finds at IoU 0.5, or None."""
    found: list[int | None] = [None] * detections
    for ranking in ranked:
        for detection, box in zip(ranking.detection.tolist(), ranking.box.tolist(), strict=True):
            found[detection] = box if box >= 0 else None
    return found


def match(objects: Sequence[Box], detections: Sequence[Detection]) -> list[int | None]:
    """Return, per detection of one image, the place of the object it finds at IoU 0.5, or None."""
    corners = [[box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1] for box in objects]
    truth = _sorted_boxes([box.label + 1 for box in objects], corners, [0] * len(objects))
    found = _detected(detections, [0] * len(detections))
    categories = np.unique(found.category).tolist()
    ranked = [_ranking(truth.of(category), found.of(category), 1) for category in categories]
    return boxes_found(ranked, len(detections))


@dataclass(frozen=True)
class _Boxes:
    """Boxes ordered by image and, where there are scores, by falling score within an image.

    `given` is the place of each before they were ordered.
    """

    given: Ints
    image: Ints
    category: Ints
    corners: Floats
    score: Floats

    def of(self, category: int) -> _Boxes:
        return self.at(self.category == category)

    def at(self, places: NDArray[Any]) -> _Boxes:
        return _Boxes(
            self.given[places],
            self.image[places],
            self.category[places],
            self.corners[places],
            self.score[places],
        )


def _detected(detections: Sequence[Detection], images: Sequence[int]) -> _Boxes:
    return _sorted_boxes(
        [item["category_id"] for item in detections],
        [item["bbox"] for item in detections],
        images,
        [item["score"] for item in detections],
    )


def _sorted_boxes(
    categories: Sequence[int],
    corners: Sequence[Sequence[float]],
    images: Sequence[int],
    scores: Sequence[float] | None = None,
) -> _Boxes:
    known = np.zeros(len(images)) if scores is None else np.array(scores, dtype=np.float64)
    boxes = _Boxes(
        np.arange(len(images)),
        np.array(images, dtype=np.int64),
        np.array(categories, dtype=np.int64),
        np.array(corners, dtype=np.float64).reshape(-1, 4),
        known,
    )
    return boxes.at(np.lexsort((-known, boxes.image)))


def _ranking(truth: _Boxes, found: _Boxes, images: int) -> Ranking:
    place = np.arange(len(found.image)) - np.searchsorted(found.image, found.image)
    found = found.at(place < MAX_DETECTIONS)
    objects = np.bincount(truth.image, minlength=images)
    boxes = np.full((len(IOUS), len(found.image)), -1, dtype=np.int64)
    detection, box, overlap = _near(truth, found, objects)
    for row, threshold in zip(boxes, IOUS, strict=True):
        near = overlap >= threshold
        for one, taken in _greedy(detection[near], box[near], overlap[near]):
            row[one] = truth.given[taken]
    order = np.argsort(-found.score, kind="stable")
    found, boxes = found.at(order), boxes[:, order]
    return Ranking(found.given, found.image, found.score, boxes >= 0, boxes[0], objects)


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


def _greedy(detection: Ints, box: Ints, overlap: Floats) -> Iterator[tuple[int, int]]:
    """Yield detections with the box they get: each the nearest free one, the last of equal ones."""
    taken: set[int] = set()
    pairs = zip(detection.tolist(), overlap.tolist(), box.tolist(), strict=True)
    for one, candidates in groupby(pairs, key=itemgetter(0)):
        free = [(iou, place) for _, iou, place in candidates if place not in taken]
        if free:
            place = max(free)[1]
            taken.add(place)
            yield one, place
