"""The settings of a segmenter's training, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from fusion.errors import InputError, did_you_mean

ARCHITECTURES = ("DeepLabV3", "DeepLabV3Plus")
CHOICES = {
    "architecture": ARCHITECTURES,
    "schedule": ("constant", "poly"),
    "select": ("last", "best"),
    "class_weights": ("none", "median_frequency", "root_frequency"),
}


@dataclass(frozen=True)
class SegmenterSettings:
    """How a segmenter is trained: SGD on cross-entropy over all classes, background included.

    `height` and `width` (multiples of 16) are the size of training and prediction; other images
    are resized. "poly" lowers the rate to 0 as (1 - step/steps)^0.9. "best" keeps the epoch of
    the highest mIoU on the "val" split, "last" needs none. Raises InputError for a bad value.
    """

    architecture: str = "DeepLabV3Plus"
    encoder: str = "mobilenet_v2"
    encoder_checkpoint: Path | None = None
    epochs: int = 500
    batch: int = 4
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "constant"
    height: int = 480
    width: int = 640
    augment: bool = True
    seed: int = 0
    select: str = "last"
    class_weights: str = "none"

    def __post_init__(self) -> None:
        for key, known in CHOICES.items():
            if (value := getattr(self, key)) not in known:
                hint = did_you_mean(str(value), list(known))
                raise InputError(f'The segmenter setting {key} = "{value}" is not known.{hint}')
        rules = (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch", self.batch >= 2, "at least 2, because batch normalisation needs two images"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "within [0, 1)"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or above"),
            ("height", self.height >= 16 and self.height % 16 == 0, "a multiple of 16"),
            ("width", self.width >= 16 and self.width % 16 == 0, "a multiple of 16"),
            ("seed", 0 <= self.seed < 2**32, "within 0..2^32-1"),
        )
        for key, good, rule in rules:
            if not good:
                raise InputError(
                    f"The segmenter setting {key} = {getattr(self, key)} must be {rule}; change it."
                )


def learning_rate(settings: SegmenterSettings, step: int, steps: int) -> float:
    """Return the rate of one optimiser step, `step` of 0..steps-1."""
    share = 1.0 if settings.schedule == "constant" else (1 - step / steps) ** 0.9
    return settings.learning_rate * share
