"""How a detector is trained, checked when it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from fusion.checkpointing import Checkpointed

Model = Literal["yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x"]
MODELS: tuple[Model, ...] = get_args(Model)
STRIDE = 32

Engine = Literal["faster", "pycocotools"]
"""What computes AP: the fast one, or the reference."""


class DetectorSettings(Checkpointed):
    """How a detector is trained; what is not named here is ultralytics' default.

    Learning rates fall linearly to `learning_rate` x `final_learning_rate`. Gradients are
    accumulated up to `nominal_batch` images per step: with few images, lower it to `batch`, or
    an epoch is only a handful of steps. Mosaics are off in the last `close_mosaic` epochs.
    `select` keeps the last epoch's weights or those best on the validation split (the moving
    average of the weights in both cases).
    """

    model: Model = "yolov5s"
    image_size: int = Field(default=640, ge=STRIDE, multiple_of=STRIDE)
    epochs: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    optimizer: Literal["SGD", "Adam", "AdamW"] = "SGD"
    learning_rate: float = Field(default=0.01, gt=0, le=1)
    final_learning_rate: float = Field(default=0.01, ge=0, le=1)
    momentum: float = Field(default=0.937, ge=0, le=1)
    weight_decay: float = Field(default=0.0005, ge=0, le=1)
    warmup_epochs: float = Field(default=3.0, ge=0)
    warmup_bias_learning_rate: float = Field(default=0.1, ge=0, le=1)
    nominal_batch: int = Field(default=64, ge=1)
    mosaic: float = Field(default=1.0, ge=0, le=1)
    close_mosaic: int = Field(default=10, ge=0)
    initial_checkpoint: Path | None = None
    select: Literal["last", "best"] = "last"
    precision: Literal["fp32", "bf16"] = "fp32"
