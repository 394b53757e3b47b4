"""A fusion method as an experiment names it, and how its network is trained."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from fusion.errors import InputError
from fusion.method_card import MethodCard
from fusion.registry import card
from fusion.training.settings import PretrainSettings, TrainSettings
from pipelines.specs.base import LocalPath, Spec, expand
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.values.names import Label, Name
from pipelines.specs.values.seeds import Seed


class PretrainingSpec(PretrainSettings):
    """How the part of a network is trained that has a training of its own before the rest."""

    model_config = ConfigDict(strict=False)  # to YAML, 1e-4 is text

    seed: Seed | None = None
    """Fixed seed; without it that of the rest's training."""


class FusionTrainingSpec(TrainSettings):
    """How a fusion network is trained, and on which pairs.

    A method of which a part is trained first needs `pretrain`, or the file `pretrained` that such
    a training has left; no other method takes either.
    """

    model_config = ConfigDict(strict=False)

    dataset: DatasetSpec
    seed: Seed | None = None
    """Fixed seed; without it the network is trained once per seed of the experiment."""
    pretrain: PretrainingSpec | None = None
    pretrained: LocalPath | None = None

    @model_validator(mode="after")
    def _check(self) -> FusionTrainingSpec:
        if self.pretrain and self.pretrained:
            raise ValueError("give either pretrain or pretrained, not both")
        return self


class MethodSpec(Spec):
    """One row of the tables: a fusion method with its parameters and weights."""

    name: Name
    label: Label = ""
    params: dict[str, Any] = Field(default_factory=dict)
    checkpoint: LocalPath | None = None
    train: FusionTrainingSpec | None = None

    @model_validator(mode="after")
    def _check(self) -> MethodSpec:
        if self.checkpoint and self.train:
            raise ValueError("give either checkpoint or train, not both")
        if (self.checkpoint or self.train) and self.joined:
            raise ValueError(f"{self.name} has no network to fuse with; take checkpoint, train out")
        taken = sorted(self.params.keys() & {"name", "checkpoint", "device"})
        if taken:
            raise ValueError(f'"{taken[0]}" is no parameter; write it beside params, not in it')
        return self

    @field_validator("params")
    @classmethod
    def _expand_folders(cls, params: dict[str, Any], given: ValidationInfo) -> dict[str, Any]:
        texts = [value for value in params.values() if isinstance(value, str)]
        if not any(sign in text for text in texts for sign in "~$"):
            return params  # what most methods have, and cards take time to read
        folders = _image_folders(given.data.get("name", ""))
        return {key: expand(value) if key in folders else value for key, value in params.items()}

    @property
    def row(self) -> str:
        """The row's title, unique within an experiment."""
        return self.label or self.name

    @property
    def makes_images(self) -> bool:
        """Whether it makes one image of a pair, to be looked at and scored."""
        known = _card(self.name)
        return known is None or not (known.stacked or known.joins)

    @property
    def joined(self) -> tuple[MethodSpec, ...]:
        """The rows whose networks' answers make up this one's; of most methods none."""
        known = _card(self.name)
        return tuple(MethodSpec(name=name) for name in known.joins) if known else ()


def _image_folders(method: str) -> tuple[str, ...]:
    """Return the parameters of a method that name folders."""
    known = _card(method)
    return known.image_folders if known else ()


def _card(method: str) -> MethodCard | None:
    """Return the card of a method; what is wrong with one that has none is said later."""
    try:
        return card(method)
    except InputError:
        return None
