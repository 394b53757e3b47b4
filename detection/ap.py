"""Average precision as COCO defines it; the only module that knows its two engines."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.settings import Engine
from fusion.errors import InputError
from fusion.nan import mean_present, none_if_nan

RECALLS: NDArray[np.float64] = np.linspace(0, 1, 101)

Detection = Mapping[str, Any]
"""``{"image": name, "category_id": from 1, "bbox": [x, y, w, h] in pixels, "score": 0..1}``."""


Precision = NDArray[np.float64]


@dataclass(frozen=True)
class DetectionScores:
    """AP per class, each in [0, 1], or nan for a class that the ground truth does not show."""

    ap50: dict[str, float]
    """AP at IoU 0.5."""
    ap: dict[str, float]
    """AP averaged over IoU 0.50, 0.55, ..., 0.95."""
    objects: dict[str, int]
    """Ground-truth boxes."""
    map50: float
    """Mean of `ap50` over the classes that are present; nan when none is."""
    map: float
    """Mean of `ap` over the classes that are present; nan when none is."""

    def to_dict(self) -> dict[str, Any]:
        """Return the scores ready for JSON: nan, which JSON lacks, becomes None."""
        return {
            "AP50": {name: none_if_nan(value) for name, value in self.ap50.items()},
            "AP": {name: none_if_nan(value) for name, value in self.ap.items()},
            "objects": dict(self.objects),
            "mAP50": none_if_nan(self.map50),
            "mAP": none_if_nan(self.map),
        }


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision at the recalls 0, 0.01, ..., 1 (IoU 0.5), by class present in the ground truth."""

    recall: tuple[float, ...]
    precision: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of a test set says."""

    scores: DetectionScores
    curves: PrecisionRecall


def evaluate(
    ground_truth: dict[str, Any],
    detections: Sequence[Detection],
    classes: Sequence[str],
    engine: Engine = "faster",
) -> Evaluation:
    """Return COCO's AP of `detections`, with its usual limit of 100 boxes per image and class.

    `ground_truth` is what ``coco_ground_truth`` returns; detections name their image. The curves
    are COCO's interpolated precision; the mean of one is that AP50. The engines agree to 1e-12.
    Raises InputError when a detection names an unknown image or class, or has a number that is
    not finite. Source: COCOeval, area "all".
    """
    if not ground_truth["images"]:
        raise InputError("The ground truth has no image; give at least one annotated image.")
    found = _as_coco(ground_truth, detections, classes)
    precision = ENGINES[engine](ground_truth, found, len(classes))
    return Evaluation(_scores(precision, ground_truth, classes), _curves(precision, classes))


def _scores(
    precision: Precision, ground_truth: Mapping[str, Any], classes: Sequence[str]
) -> DetectionScores:
    ap50 = {name: _mean(precision[0, :, k]) for k, name in enumerate(classes)}
    ap = {name: _mean(precision[:, :, k]) for k, name in enumerate(classes)}
    objects = dict.fromkeys(classes, 0)
    for box in ground_truth["annotations"]:
        objects[classes[box["category_id"] - 1]] += 1
    map50, mean = (float(mean_present([*of.values()])) for of in (ap50, ap))
    return DetectionScores(ap50, ap, objects, map50, mean)


def _curves(precision: Precision, classes: Sequence[str]) -> PrecisionRecall:
    by_class = {name: precision[0, :, k] for k, name in enumerate(classes)}
    shown = {n: tuple(curve.tolist()) for n, curve in by_class.items() if curve.min() > -1}
    return PrecisionRecall(tuple(RECALLS.tolist()), shown)


def _faster(ground_truth: dict[str, Any], found: list[dict[str, Any]], classes: int) -> Precision:
    from faster_coco_eval import COCO, COCOeval_faster

    return _precision(COCO, COCOeval_faster, ground_truth, found, classes)


def _pycocotools(
    ground_truth: dict[str, Any], found: list[dict[str, Any]], classes: int
) -> Precision:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # it tells every step
        return _precision(COCO, COCOeval, ground_truth, found, classes)


ENGINES: Mapping[Engine, Callable[..., Precision]] = {
    "faster": _faster,
    "pycocotools": _pycocotools,
}


def _precision(
    coco: Any,
    coco_eval: Any,
    ground_truth: dict[str, Any],
    found: list[dict[str, Any]],
    classes: int,
) -> Precision:
    """Return COCOeval's precision, 10 IoUs x 101 recalls x classes; -1 where a class is absent."""
    # COCOeval writes into the boxes it is given, and they are the caller's.
    boxes = [dict(box) for box in ground_truth["annotations"]]
    sides = []
    for side in (boxes, found):
        made = coco()  # COCO.loadRes fails on an empty list, so both sides are built alike
        made.dataset = {**ground_truth, "annotations": side}
        made.createIndex()
        sides.append(made)
    evaluation = coco_eval(*sides, iouType="bbox")
    settings = evaluation.params
    settings.catIds = list(range(1, classes + 1))
    # Small, medium and large objects, and 1 or 10 boxes per image, are nobody's question here.
    settings.areaRng, settings.areaRngLbl, settings.maxDets = [[0, 1e10]], ["all"], [100]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"][..., 0, 0], dtype=np.float64)


def _as_coco(
    ground_truth: dict[str, Any], detections: Sequence[Detection], classes: Sequence[str]
) -> list[dict[str, Any]]:
    ids = {image["file_name"]: image["id"] for image in ground_truth["images"]}
    categories = frozenset(range(1, len(classes) + 1))
    rows = []
    for number, item in enumerate(detections, start=1):  # ids from 1: COCOeval's 0 is "no match"
        image, category = item["image"], item["category_id"]
        x, y, width, height = map(float, item["bbox"])
        score = float(item["score"])
        if image not in ids or category not in categories:
            raise _stranger(item, number, len(classes), ids)
        if not math.isfinite(x + y + width + height + score):
            raise InputError(
                f"Detection {number} of {image} has a box or score that is not finite; "
                f"the training diverged, so lower the learning rate."
            )
        rows.append(
            {
                "id": number,
                "image_id": ids[image],
                "category_id": int(category),
                "bbox": [x, y, width, height],
                "area": width * height,
                "score": score,
                "iscrowd": 0,
            }
        )
    return rows


def _stranger(item: Detection, number: int, classes: int, ids: Mapping[str, int]) -> InputError:
    if item["image"] not in ids:
        return InputError(
            f'Detection {number} belongs to the image "{item["image"]}", which has no ground '
            f"truth; predict on the annotated images only."
        )
    return InputError(
        f"Detection {number} has the category {item['category_id']}, which is not between 1 "
        f"and {classes}; predict and score with the same class list."
    )


def _mean(precision: NDArray[np.float64]) -> float:
    present = precision[precision > -1]
    return float(present.mean()) if present.size else math.nan
