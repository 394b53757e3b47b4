"""What a page shows of detection: curves of precision, and images with boxes and misses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from detection.ap import RECALLS, Detection
from detection.datasets import Box
from detection.matching import boxes_found
from pipelines.results.values import Line
from pipelines.tasks.detection import Detected
from pipelines.views.report.model import Mark, PerImage

CONFIDENCE, ENOUGH = 0.25, 3
"""Boxes that are shown and counted, and how many objects an image worth showing has."""

Outcome = tuple[list[Detection], list["int | None"]]
"""An image's shown detections, the surest first, and which object each hits."""


@dataclass(frozen=True)
class Shown:
    """One cell's detections as the page shows them: by image, and as precision by class.

    `curves` hold the precision at `RECALLS`, IoU 0.5, of the classes that the test images show.
    """

    seed: int
    truth: Mapping[str, Sequence[Box]]
    outcomes: Mapping[str, Outcome]
    curves: Mapping[str, tuple[float, ...]]

    @property
    def f1(self) -> dict[str, float]:
        """By image, of boxes of at least `CONFIDENCE`; 1 where nothing is and nothing is found."""
        return {name: _f1(boxes, self.outcomes[name]) for name, boxes in self.truth.items()}


def shown(seed: int, kept: Detected) -> Shown:
    """Choose what is shown of what a finished test kept."""
    truth, places = _boxes(kept.ground_truth)
    taken = boxes_found(kept.rankings, len(kept.predictions))
    outcomes: dict[str, Outcome] = {name: ([], []) for name in truth}
    pairs = zip(kept.predictions, taken, strict=True)
    for item, box in sorted(pairs, key=lambda pair: -pair[0]["score"]):
        if item["score"] >= CONFIDENCE:
            sure, hits = outcomes[item["image"]]
            sure.append(item)
            hits.append(None if box is None else places[box])
    return Shown(seed, truth, outcomes, kept.curves.precision)


def _boxes(ground_truth: Mapping[str, Any]) -> tuple[dict[str, list[Box]], list[int]]:
    """Return the boxes of each image, and which of its image's boxes each annotation is."""
    names = {image["id"]: str(image["file_name"]) for image in ground_truth["images"]}
    boxes: dict[str, list[Box]] = {name: [] for name in names.values()}
    places = []
    for item in ground_truth["annotations"]:
        x, y, width, height = item["bbox"]
        own = boxes[names[item["image_id"]]]
        places.append(len(own))
        own.append(Box(item["category_id"] - 1, x, y, x + width, y + height))
    return boxes, places


def _f1(boxes: Sequence[Box], outcome: Outcome) -> float:
    shown, taken = outcome
    hits = sum(index is not None for index in taken)
    both = len(boxes) + len(shown)
    return 2 * hits / both if both else 1.0


def mean_curves(
    cells: Mapping[str, Sequence[Shown]], classes: Sequence[str]
) -> dict[str, tuple[Line, ...]]:
    """Return by class one curve a method: the mean precision of its seeds at each recall."""
    found: dict[str, tuple[Line, ...]] = {}
    for name in classes:
        lines = []
        for method, seeds in cells.items():
            curves = [s.curves[name] for s in seeds if name in s.curves]
            if curves:
                mean = tuple(fmean(at) for at in zip(*curves, strict=True))
                lines.append(Line(method, tuple(RECALLS.tolist()), mean))
        if lines:
            found[name] = tuple(lines)
    return found


def worth_showing(truth: Mapping[str, Sequence[Box]]) -> list[str]:
    """Return the images with at least `ENOUGH` objects, or all where there are none such.

    On an image with one object a score is all or nothing, so that such would be shown alone.
    """
    return [name for name, boxes in truth.items() if len(boxes) >= ENOUGH] or list(truth)


def truth_marks(boxes: Sequence[Box], classes: Sequence[str]) -> tuple[Mark, ...]:
    """Return an image's objects."""
    return tuple(Mark("found", _rectangle(box), classes[box.label]) for box in boxes)


def outcome(name: str, cell: Shown, classes: Sequence[str]) -> tuple[str, tuple[Mark, ...]]:
    """Return in words how a cell did on one image, and its objects, hits and false alarms."""
    boxes, (shown, taken) = cell.truth[name], cell.outcomes[name]
    hits = sum(index is not None for index in taken)
    alarms = f"{len(shown) - hits} false alarm{'' if len(shown) - hits == 1 else 's'}"
    objects = (
        Mark("found", _rectangle(box), classes[box.label])
        if index in taken
        else Mark("missed", _rectangle(box), f"{classes[box.label]}, missed")
        for index, box in enumerate(boxes)
    )
    marks = (*objects, *_predictions(shown, taken, classes))
    return f"{hits} of {len(boxes)} found, {alarms}", marks


def _predictions(
    shown: Sequence[Detection], taken: Sequence[int | None], classes: Sequence[str]
) -> Iterator[Mark]:
    for item, index in zip(shown, taken, strict=True):
        x, y, width, height = item["bbox"]
        label = f"{classes[item['category_id'] - 1]} {item['score']:.2f}"
        yield Mark("false" if index is None else "hit", (x, y, width, height), label)


def _rectangle(box: Box) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1


def scores_of(cells: Mapping[str, Sequence[Shown]]) -> dict[str, list[PerImage]]:
    """Return by method the F1 of each image, a mapping a seed."""
    return {method: [cell.f1 for cell in seeds] for method, seeds in cells.items()}
