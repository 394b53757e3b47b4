"""A trained detector on images: boxes in pixels, as COCO's evaluation wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detection.settings import CONFIDENCE, NMS_IOU
from detection.yolo.checkpoints import load_network
from detection.yolo.ultralytics import (
    chooses_boxes,
    chosen,
    letterboxed,
    limited_threads,
    scale_boxes,
    stretched,
    suppressed,
)
from fusion.pairs import Image, read_rgb, read_stack
from fusion.torch_tools import float32_products, resolve_device


@torch.inference_mode()
def predict(
    weights: Path,
    images: Mapping[str, Path],
    classes: Sequence[str],
    *,
    image_size: int,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    confidence: float = CONFIDENCE,
    iou: float = NMS_IOU,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Detect objects and return COCO detections, by image name and falling score.

    Each is ``{"image", "category_id" (from 1), "bbox" [x, y, w, h] in pixels, "score"}``. The
    thresholds are those of validation: every class of a box counts, at most 300 boxes an image.
    `on_progress` gets the images done and their number. Raises InputError when `weights` is not
    from `train`, or was trained for other classes.
    """
    where = resolve_device(device)
    with limited_threads(threads), float32_products():
        network = load_network(weights, classes).to(where).eval()
        read = read_rgb if next(network.parameters()).shape[1] == 3 else read_stack
        found: list[dict[str, Any]] = []
        names = sorted(images)
        for start in range(0, len(names), batch):
            chunk = names[start : start + batch]
            pictures = [read(images[name]) for name in chunk]
            for name, rows in zip(
                chunk, detect(network, pictures, image_size, confidence, iou), strict=True
            ):
                found.extend(_as_detections(name, rows))
            if on_progress is not None:
                on_progress(start + len(chunk), len(names))
    return found


def detect(
    network: Any, pictures: Sequence[Image], image_size: int, confidence: float, iou: float
) -> list[Tensor]:
    """Return per picture an N x 6 tensor: x1, y1, x2, y2 in its pixels, score, label.

    Pictures are letterboxed and boxes suppressed, or, for RT-DETR, stretched and none.
    """
    place, whole = next(network.parameters()).device, chooses_boxes(network)
    results: list[Tensor] = []
    seen = (stretched if whole else letterboxed)(pictures, image_size)
    for group in _runs_of_one_shape(seen):
        batch = torch.from_numpy(np.stack(group)).to(place).float() / 255
        output = network(batch)
        for rows in chosen(output, confidence) if whole else suppressed(output, confidence, iou):
            size = pictures[len(results)].shape[:2]
            if whole:
                rows[:, :4] *= rows.new_tensor([size[1], size[0], size[1], size[0]])
            else:
                scale_boxes(rows[:, :4], batch.shape[2:], size)
            results.append(rows.cpu())
    return results


def _runs_of_one_shape(inputs: Sequence[Image]) -> Iterator[list[Image]]:
    group: list[Image] = []
    for item in inputs:
        if group and item.shape != group[0].shape:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _as_detections(name: str, rows: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "image": name,
            "category_id": int(label) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for x1, y1, x2, y2, score, label in rows.tolist()
    ]
