"""How slices are undersampled and the network is trained; importing this costs no torch."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from fusion.errors import InputError
from fusion.reconstruction.masks import MaskKind, Sampling
from fusion.settings import Settings
from fusion.training.settings import TrainSettings

Reconstruction = Literal["zero-filled", "cmd"]
RECONSTRUCTIONS: tuple[Reconstruction, ...] = get_args(Reconstruction)
Preset = Literal["paper", "small", "tiny"]


class SamplingSettings(Settings):
    """The kind of mask, the accelerations, and for each the share of the centre that is taken.

    The defaults are random columns at 4 and 8, with 8 and 4 percent at the centre.
    """

    mask: MaskKind = "random"
    accelerations: tuple[float, ...] = Field(default=(4, 8), min_length=1)
    centre_fractions: tuple[float, ...] = (0.08, 0.04)

    @model_validator(mode="after")
    def _check(self) -> SamplingSettings:
        given, centres = self.accelerations, self.centre_fractions
        if len(given) != len(centres):
            raise ValueError(
                f"there are {len(given)} accelerations and {len(centres)} centre_fractions; give "
                f"each acceleration its own"
            )
        if len(set(given)) != len(given):
            raise ValueError("accelerations names one twice")
        try:
            _ = self.samplings
        except InputError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def samplings(self) -> tuple[Sampling, ...]:
        """One for each acceleration."""
        pairs = zip(self.accelerations, self.centre_fractions, strict=True)
        return tuple(Sampling(self.mask, *pair) for pair in pairs)


class ReconstructionTraining(TrainSettings):
    """How the network is trained, by default as its authors do: whole slices, one a step.

    Every crop of a slice is a scan of its own, at one of the accelerations, with a new mask, phase
    and noise.
    """

    preset: Preset = "paper"
    batch_size: int = Field(default=1, ge=1)
    crop: int = Field(default=256, ge=32)
    learning_rate: float = Field(default=1e-3, gt=0)
    precision: Literal["fp32", "tf32"] = "fp32"
