"""How a detector is trained, checked when it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusion.errors import InputError, did_you_mean

MODELS = tuple(f"yolov5{size}" for size in "nsmlx")
STRIDE = 32


@dataclass(frozen=True)
class DetectorSettings:
    """How a detector is trained; what is not named here is ultralytics' default.

    Learning rates fall linearly to `learning_rate` x `final_learning_rate`. Gradients are
    accumulated up to `nominal_batch` images per step: with few images, lower it to `batch`, or
    an epoch is only a handful of steps. Mosaics are off in the last `close_mosaic` epochs.
    `select` keeps the last epoch's weights or those best on the validation split (the moving
    average of the weights in both cases). Raises InputError when a value makes no sense.
    """

    model: str = "yolov5s"
    image_size: int = 640
    epochs: int = 100
    batch: int = 16
    optimizer: Literal["SGD", "Adam", "AdamW"] = "SGD"
    learning_rate: float = 0.01
    final_learning_rate: float = 0.01
    momentum: float = 0.937
    weight_decay: float = 0.0005
    warmup_epochs: float = 3.0
    warmup_bias_learning_rate: float = 0.1
    nominal_batch: int = 64
    mosaic: float = 1.0
    close_mosaic: int = 10
    seed: int = 0
    initial_checkpoint: Path | None = None
    select: Literal["last", "best"] = "last"
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        check_one_of("model", self.model, MODELS)
        check_one_of("optimizer", self.optimizer, ("SGD", "Adam", "AdamW"))
        check_one_of("select", self.select, ("last", "best"))
        check_one_of("precision", self.precision, ("fp32", "bf16"))
        for key in ("image_size", "epochs", "batch", "nominal_batch"):
            _check(getattr(self, key) > 0, key, getattr(self, key), "must be greater than 0")
        for key in ("warmup_epochs", "close_mosaic", "seed"):
            _check(getattr(self, key) >= 0, key, getattr(self, key), "must not be negative")
        rates = ("learning_rate", "final_learning_rate", "warmup_bias_learning_rate")
        for key in (*rates, "momentum", "weight_decay", "mosaic"):
            _check(0 <= getattr(self, key) <= 1, key, getattr(self, key), "must be in [0, 1]")
        _check(self.learning_rate > 0, "learning_rate", self.learning_rate, "must exceed 0")
        _check(
            self.image_size % STRIDE == 0, "image_size", self.image_size, "must be a multiple of 32"
        )


def check_one_of(key: str, value: str, known: Sequence[str]) -> None:
    """Raise InputError, with suggestions, when `value` is not one of `known`."""
    if value not in known:
        raise InputError(f'{key}: "{value}" is not known.{did_you_mean(value, list(known))}')


def _check(good: bool, key: str, value: object, rule: str) -> None:
    if not good:
        raise InputError(f"{key}: {value} {rule}; correct the detector's settings.")
