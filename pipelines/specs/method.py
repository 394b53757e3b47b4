"""A fusion method as an experiment names it, and how its network is trained."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from pipelines.specs.base import LocalPath, Spec, expand
from pipelines.specs.dataset import DatasetSpec


class FusionTrainingSpec(Spec):
    """How a fusion network is trained; epochs count passes over the training pairs."""

    dataset: DatasetSpec
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    crop: int = Field(default=64, ge=8)
    crops_per_image: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    mixed_precision: bool = False
    seed: int | None = None
    """Fixed seed; without it the network is trained once per seed of the experiment."""


class MethodSpec(Spec):
    """One row of the tables: a fusion method with its parameters and weights."""

    name: str
    label: str = ""
    params: dict[str, Any] = Field(default_factory=dict)
    checkpoint: LocalPath | None = None
    train: FusionTrainingSpec | None = None

    @model_validator(mode="after")
    def _check(self) -> MethodSpec:
        if self.checkpoint and self.train:
            raise ValueError("give either checkpoint or train, not both")
        taken = sorted(self.params.keys() & {"name", "checkpoint", "device"})
        if taken:
            raise ValueError(f'"{taken[0]}" is no parameter; write it beside params, not in it')
        return self

    @field_validator("params")
    @classmethod
    def _expand_folder(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "folder": expand(params["folder"])} if "folder" in params else params

    @property
    def row(self) -> str:
        """The row's title, unique within an experiment."""
        return self.label or self.name
