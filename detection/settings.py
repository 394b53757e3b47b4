"""How a detector is trained, checked when it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from fusion.checkpointing import Checkpointed

Yolo5 = Literal["yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x"]
Yolo8 = Literal["yolov8n", "yolov8s", "yolov8m", "yolov8l", "yolov8x"]
Yolo11 = Literal["yolo11n", "yolo11s", "yolo11m", "yolo11l", "yolo11x"]
Transformer = Literal["rtdetr-l", "rtdetr-x", "yolov8n-rtdetr"]
"""RT-DETR: 300 boxes an image and no suppression; images are stretched to a square."""
Model = Literal[Yolo5, Yolo8, Yolo11, Transformer]
MODELS: tuple[Model, ...] = get_args(Model)
STRIDE = 32
CONFIDENCE, NMS_IOU = 0.001, 0.7
"""At a test: the lowest score that counts, and the overlap from which one of two boxes goes."""

Engine = Literal["faster", "pycocotools"]
"""What computes AP: the fast one, or the reference."""


class DetectorSettings(Checkpointed):
    """How a detector is trained; what is not named here is ultralytics' default.

    Learning rates fall linearly to `learning_rate` x `final_learning_rate`. Gradients are
    accumulated up to `nominal_batch` images per step: with few images, lower it to `batch`, or
    an epoch is only a handful of steps. Mosaics are off in the last `close_mosaic` epochs.
    `select` keeps the last epoch's weights or those best on the validation split (the moving
    average of the weights in both cases), which is asked every `validate_every` epochs and last.

    A GPU too small for `batch` computes `micro_batch` images at once and adds up their gradients:
    steps, weight decay and warm-up stay those of `batch`, but batch normalisation sees fewer
    images. "fp32" is float32 throughout; "tf32" has products of 10 bits, "bf16" mixes in bfloat16.
    On a GPU `loader_processes` read images, no more than cores; `cache` keeps them decoded in
    memory, "auto" where they fill at most half of what is free.
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
    validate_every: int = Field(default=1, ge=1)
    micro_batch: int | None = Field(default=None, ge=1)
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    loader_processes: int = Field(default=8, ge=0)
    cache: Literal["auto", "none", "memory"] = "auto"

    @property
    def is_transformer(self) -> bool:
        """Whether the detector is an RT-DETR."""
        return self.model in get_args(Transformer)

    @model_validator(mode="after")
    def _whole_batches(self) -> DetectorSettings:
        if self.micro_batch is not None and self.batch % self.micro_batch:
            raise ValueError(
                f"micro_batch: {self.micro_batch} does not divide batch: {self.batch}; "
                f"give a divisor of it"
            )
        return self
