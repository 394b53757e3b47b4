"""How a segmenter is trained, checked when it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from fusion.checkpointing import Checkpointed

Dilated = Literal["DeepLabV3", "DeepLabV3Plus", "PAN", "PSPNet"]
Halving = Literal["Unet", "UnetPlusPlus", "FPN", "Segformer"]
"""Their encoders halve an image five times, so that its sides must be multiples of 32."""
LEAST = 128
"""The smallest side for PAN, whose pyramid pools three times what is 16 times smaller."""
Architecture = Literal[Dilated, Halving]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


class SegmenterSettings(Checkpointed):
    """How a segmenter is trained: SGD on cross-entropy over all classes, background included.

    `height` and `width` are the size of training and prediction; other images are resized. A
    `batch` has two images at least, because batch normalisation needs them. "poly" lowers the
    rate to 0 as (1 - step/steps)^0.9. "best" keeps the epoch of the highest mIoU on the "val"
    split, "last" needs none. "fp32" is float32 throughout; on a GPU, "tf32" has products of 10
    bits, "bf16" mixes in bfloat16.
    """

    architecture: Architecture = "DeepLabV3"
    encoder: str = "resnet50"
    encoder_checkpoint: Path | None = None
    height: int = Field(default=480, ge=32, multiple_of=16)
    width: int = Field(default=640, ge=32, multiple_of=16)
    epochs: int = Field(ge=1)
    batch: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["constant", "poly"] = "constant"
    class_weights: Literal["none", "median_frequency", "root_frequency"] = "none"
    augment: bool = True
    select: Literal["last", "best"] = "last"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _sides(self) -> SegmenterSettings:
        for key, side in (("height", self.height), ("width", self.width)):
            if self.architecture == "PAN" and side < LEAST:
                raise ValueError(f"{key}: {side} is too small for PAN; give {LEAST} or more")
            if self.architecture in get_args(Halving) and side % 32:
                raise ValueError(
                    f"{key}: {side} is no multiple of 32, which {self.architecture} needs; "
                    f"give {side // 32 * 32 + 32}"
                )
        return self


def learning_rate(settings: SegmenterSettings, step: int, steps: int) -> float:
    """Return the rate of one optimiser step, `step` of 0..steps-1."""
    share = 1.0 if settings.schedule == "constant" else (1 - step / steps) ** 0.9
    return settings.learning_rate * share
