"""Which metrics images are scored on, and by which definitions; importing this costs no torch."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from fusion.settings import Settings

Metric = Literal[
    "SD", "AG", "SF", "SCD", "VIFF", "SSIM", "EN", "MI", "MSE", "CC", "PSNR", "Qabf"
]  # fmt: skip
METRICS: tuple[Metric, ...] = get_args(Metric)
"""All metrics; every one but MSE is better when higher."""
PAPER_METRICS = METRICS[:6]
"""The columns of the LKC-FUNet paper's Tables 1 to 3."""

Convention = Literal["paper", "released"]
"""The definitions behind the LKC-FUNet paper's Table 3, or those of its released evaluator."""


class ScoreSettings(Settings):
    """How fused images are scored: the metrics, in the order of the columns, and the convention."""

    metrics: tuple[Metric, ...] = Field(default=PAPER_METRICS, min_length=1)
    convention: Convention = "paper"

    @field_validator("metrics")
    @classmethod
    def _each_once(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        if len(set(metrics)) != len(metrics):
            raise ValueError("metrics names one metric twice")
        return metrics
