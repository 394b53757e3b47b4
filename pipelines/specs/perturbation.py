"""Disturbances of the test pairs: which are asked for, what they are called and what they mean.

The words stand apart from `fusion.perturb`, whose code counts for the images' identity.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from fusion.errors import InputError
from fusion.perturb import KINDS, Kind, Modality, Perturbation
from fusion.reconstruction.undersampling import Undersampling, undersampling_of
from pipelines.specs.base import Spec

UNITS: dict[Kind, str] = {
    "shift": "px",
    "rotation": "degrees",
    "infrared_noise": "grey levels",
    "visible_darkening": "share of light taken away",
    "lost": "",
}
WORDS: dict[Kind, str] = {
    "shift": "shift of infrared",
    "rotation": "rotation of infrared",
    "infrared_noise": "noise on infrared",
    "visible_darkening": "darkness of visible",
    "lost": "loss of an image",
}
MEANING: dict[Kind, str] = {
    "shift": "the infrared image is shifted by so many pixels to the right, down, left or up, "
    "drawn per pair; what is missing at the border is reflected",
    "rotation": "the infrared image is turned by so many degrees about its centre, either way, "
    "drawn per pair (bilinear, which also smooths); what is missing at the border is reflected",
    "infrared_noise": "Gaussian noise of that standard deviation, in grey levels of 255, is added "
    "to the infrared image, then rounded and clipped",
    "visible_darkening": "that share of the visible image's light is taken away: sRGB is decoded "
    "to linear light, scaled and encoded again, without the noise that real darkness adds",
    "lost": "the image is replaced by black",
}
"""What a strength does, in the words that stand under a table."""

Disturbance = Perturbation | Undersampling
"""What may be done to a pair before it is fused."""


def disturbance(kind: str, strength: Any) -> Disturbance:
    """Return what `kind` and `strength` of a disturbance say; InputError where they do not fit."""
    if kind == Undersampling.kind:
        return undersampling_of(strength)
    return Perturbation(kind, strength)  # type: ignore[arg-type]  # which checks it itself


Strength = Annotated[float, Field(strict=True, allow_inf_nan=True)]
"""Strict: true is no number. What is not finite is refused by `Perturbation`, which says more."""


class PerturbSpec(Spec):
    """Disturbances of the test pairs, each kind with its strengths (`fusion.perturb`).

    Networks trained on clean images fuse and look at disturbed ones; nothing is trained again.
    """

    shift: tuple[Strength, ...] = ()
    rotation: tuple[Strength, ...] = ()
    infrared_noise: tuple[Strength, ...] = ()
    visible_darkening: tuple[Strength, ...] = ()
    lost: tuple[Modality, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> PerturbSpec:
        try:
            found = self.perturbations
        except InputError as error:
            raise ValueError(str(error)) from error
        if not found:
            raise ValueError(f"perturb names no strength; give one of {', '.join(KINDS)} a list")
        twice = [one for one in found if found.count(one) > 1]
        if twice:
            raise ValueError(f"{twice[0].kind} lists {twice[0].strength} twice; keep one of them")
        return self

    @property
    def perturbations(self) -> tuple[Perturbation, ...]:
        """Every kind and strength, the weakest of a kind first."""
        return tuple(
            Perturbation(kind, strength)
            for kind in KINDS
            for strength in sorted(getattr(self, kind))
        )
