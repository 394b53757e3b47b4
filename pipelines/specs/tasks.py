"""What is measured on the fused images: each task's settings, and the dataset it looks at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from detection.settings import DetectorSettings, Engine
from pipelines.specs.base import LocalPath, Spec
from pipelines.specs.dataset import DatasetSpec
from segmentation.settings import SegmenterSettings

Metric = Literal[
    "SD", "AG", "SF", "SCD", "VIFF", "SSIM", "EN", "MI", "MSE", "CC", "PSNR", "Qabf"
]  # fmt: skip
"""As `fusion.quality.METRICS` has them, which costs seconds to import."""


class DetectionSpec(DetectorSettings):
    """The detector that is retrained on each method's images, and its budget."""

    dataset: DatasetSpec
    engine: Engine = "faster"
    initial_checkpoint: LocalPath | None = None


class SegmentationSpec(SegmenterSettings):
    """The segmenter that is retrained on each method's images, and its budget."""

    dataset: DatasetSpec
    encoder_checkpoint: LocalPath | None = None


class ScoringSpec(Spec):
    """The quality metrics that each method's fused images get, on the test split if there is one.

    `by_part` asks for one table per part of the dataset in place of one for all.
    """

    dataset: DatasetSpec
    metrics: tuple[Metric, ...] = Field(
        default=("SD", "AG", "SF", "SCD", "VIFF", "SSIM"), min_length=1
    )
    convention: Literal["paper", "released"] = "paper"
    by_part: bool = False

    @model_validator(mode="after")
    def _check(self) -> ScoringSpec:
        if len(set(self.metrics)) != len(self.metrics):
            raise ValueError("metrics names one metric twice")
        if self.by_part and not self.dataset.parts:
            raise ValueError(f"by_part: the dataset {self.dataset.name} has no parts")
        return self
