"""What several detectors found on the same images, joined by weighted box fusion.

Source: Solovyev, Wang and Gabruseva, "Weighted boxes fusion: Ensembling boxes from different
object detection models", Image and Vision Computing 107 (2021), in its authors' own package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detection.ap import Detection

JOIN_IOU = 0.55
"""The overlap from which two boxes are of one object; the paper's."""
MOST = 300
"""How many joined boxes an image keeps, as many as one detector's."""
Size = tuple[int, int]
"""Width and height of an image, in pixels."""


def join_boxes(
    found: Sequence[Sequence[Detection]], sizes: Mapping[str, Size]
) -> list[dict[str, Any]]:
    """Return COCO detections, by image name and falling score, of several detectors' together.

    Boxes of one class that overlap by `JOIN_IOU` become their mean, weighted by their scores; its
    score is the mean of theirs times the share of the detectors that are in it, so that a box that
    one of two detectors finds alone gets half its score. `sizes` are those of the images.
    """
    by_image = [_by_image(one, sizes) for one in found]
    joined: list[dict[str, Any]] = []
    for name in sorted(sizes):
        joined += _joined(name, sizes[name], [one[name] for one in by_image])
    return joined


def _by_image(found: Sequence[Detection], sizes: Mapping[str, Size]) -> dict[str, list[Detection]]:
    mine: dict[str, list[Detection]] = {name: [] for name in sizes}
    for one in found:
        mine[one["image"]].append(one)
    return mine


def _joined(name: str, size: Size, found: Sequence[Sequence[Detection]]) -> list[dict[str, Any]]:
    from ensemble_boxes import weighted_boxes_fusion

    width, height = size
    boxes, scores, labels = weighted_boxes_fusion(
        [[_shares(one["bbox"], size) for one in mine] for mine in found],
        [[one["score"] for one in mine] for mine in found],
        [[one["category_id"] for one in mine] for mine in found],
        iou_thr=JOIN_IOU,
    )
    scale = (width, height, width, height)
    return [
        {
            "image": name,
            "category_id": int(label),
            "bbox": _bbox(*(share * side for share, side in zip(box, scale, strict=True))),
            "score": float(score),
        }
        for box, score, label in list(zip(boxes.tolist(), scores, labels, strict=True))[:MOST]
    ]


def _shares(bbox: Sequence[float], size: Size) -> list[float]:
    """Return the edges of a box as shares of its image, where rounding must not lead outside."""
    (x, y, w, h), (width, height) = bbox, size
    edges = (x / width, y / height, (x + w) / width, (y + h) / height)
    return [min(max(edge, 0.0), 1.0) for edge in edges]


def _bbox(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right - left, bottom - top]
