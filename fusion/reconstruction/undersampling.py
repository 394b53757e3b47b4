"""One disturbance of a pair: its magnetic resonance image comes from a shorter scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from fusion.errors import InputError, did_you_mean
from fusion.reconstruction.masks import Sampling
from fusion.reconstruction.settings import RECONSTRUCTIONS, Reconstruction


@dataclass(frozen=True)
class Undersampling:
    """How the infrared image of a pair, which is the MRI, is undersampled and reconstructed.

    It stands beside `fusion.perturb.Perturbation` and has its words. Raises InputError for an
    unknown reconstruction.
    """

    sampling: Sampling
    reconstruction: Reconstruction
    kind: ClassVar[str] = "undersampled"
    modality: ClassVar[str] = "infrared"

    def __post_init__(self) -> None:
        if self.reconstruction not in RECONSTRUCTIONS:
            hint = did_you_mean(str(self.reconstruction), list(RECONSTRUCTIONS))
            raise InputError(f'There is no reconstruction "{self.reconstruction}".{hint}')

    @property
    def strength(self) -> dict[str, Any]:
        """All that it is made of, as plain values."""
        return {**asdict(self.sampling), "reconstruction": self.reconstruction}

    @property
    def label(self) -> str:
        """For people: "4x zero-filled"."""
        return f"{self.sampling.acceleration:g}x {self.reconstruction}"


def undersampling_of(strength: Mapping[str, Any]) -> Undersampling:
    """Return what `Undersampling.strength` says; InputError where it does not fit."""
    sampling = {key: value for key, value in strength.items() if key != "reconstruction"}
    return Undersampling(Sampling(**sampling), strength["reconstruction"])
