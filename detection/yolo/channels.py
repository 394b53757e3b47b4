"""A fourth channel, infrared, in ultralytics' pipeline, which augments and turns three.

Nothing of ultralytics is imported here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COLOURS = 3
TURNED = [2, 1, 0, 3]
"""From OpenCV's order, blue first, to red, green, blue, infrared."""


def show_fourth(dataset: Any) -> None:
    """Let a dataset of images of four channels treat the first three as it does colour images.

    Hue, saturation and brightness are drawn for these alone; flips, mosaics and affine maps move
    all four. The rare blurs and gray images of albumentations (1 % each) are left out, as
    ultralytics does for whatever is not colour.
    """
    theirs = dataset.build_transforms

    def build_transforms(*given: Any, **named: Any) -> Any:
        made = theirs(*given, **named)
        _adapt(made)
        return made

    dataset.build_transforms = build_transforms  # they are built again when mosaics are closed
    _adapt(dataset.transforms)


def _adapt(step: Any) -> None:
    for inner in getattr(step, "transforms", ()):
        _adapt(inner)
    if hasattr(step, "hgain"):
        _colours_alone(step)
    if hasattr(step, "_format_img"):
        _turned(step)


def _colours_alone(step: Any) -> None:
    theirs = step.apply_image

    def apply_image(labels: dict[str, Any], params: Any = None) -> dict[str, Any]:
        image = labels["img"]
        colours = np.ascontiguousarray(image[..., :COLOURS])
        image[..., :COLOURS] = theirs({"img": colours}, params)["img"]
        return labels

    step.apply_image = apply_image


def _turned(step: Any) -> None:
    theirs = step._format_img
    step._format_img = lambda image: theirs(image[..., TURNED])
