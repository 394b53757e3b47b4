"""Disturb one image of a pair as the field does: misaligned, noisy, dark, or lost.

Labels stay true: they belong to the visible image's frame, so what moves is the infrared image.
Whatever is drawn by lot comes from a seed made of the kind and the pair's name: neither order nor
process counts. Strength is left out of it, so that the points of a curve differ in strength alone:
a pair is shifted further in the same direction, and its noise is the same noise made stronger.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError, did_you_mean
from fusion.pairs import Image

Kind = Literal["shift", "rotation", "infrared_noise", "visible_darkening", "lost"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Modality = Literal["infrared", "visible"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Right, down, left, up: along the axes, a shift by whole pixels needs no interpolation."""

LIMITS: dict[str, float] = {
    "shift": math.inf,
    "rotation": 180.0,
    "infrared_noise": 255.0,
    "visible_darkening": 1.0,
}


@dataclass(frozen=True)
class Perturbation:
    """One disturbance: its kind and how strong it is; of "lost", which image.

    A shift is in pixels, a rotation in degrees, noise in grey levels of 255 (standard deviation),
    darkening the share of linear light that is taken away.

    Raises InputError for an unknown kind, and for a strength that is not above 0 and finite (0 is
    the clean pair), or beyond `LIMITS`.
    """

    kind: Kind
    strength: float | str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f'There is no perturbation "{self.kind}".{did_you_mean(self.kind, list(KINDS))}'
            )
        if self.kind == "lost":
            if self.strength not in MODALITIES:
                raise InputError(f'lost is {self.strength!r}; use "infrared" or "visible".')
            return
        limit = LIMITS[self.kind]
        within = isinstance(self.strength, int | float) and 0 < self.strength <= limit
        if not within or not math.isfinite(float(self.strength)):
            most = "" if math.isinf(limit) else f" and at most {limit:g}"
            raise InputError(
                f"{self.kind} is {self.strength!r}; use finite numbers above 0{most} (0 is the "
                f"clean result, which is there anyway)."
            )

    @property
    def modality(self) -> Modality:
        """Which image of the pair is disturbed."""
        dark = self.kind == "visible_darkening" or (self.kind, self.strength) == ("lost", "visible")
        return "visible" if dark else "infrared"

    @property
    def label(self) -> str:
        """For people: "shift 4 px", "no infrared"."""
        if isinstance(self.strength, str):
            return f"no {self.strength}"
        texts = {
            "shift": f"shift {self.strength:g} px",
            "rotation": f"rotation {self.strength:g}°",
            "infrared_noise": f"noise {self.strength:g}",
            "visible_darkening": f"dark {100 * self.strength:g} %",
        }
        return texts[self.kind]


def perturb(image: Image, perturbation: Perturbation, name: str) -> Image:
    """Return the disturbed `modality` image of the pair `name`; `image` is left alone.

    uint8, H x W or H x W x 3, to the same shape.
    """
    lots = np.random.default_rng(_seed(perturbation.kind, name))
    if isinstance(perturbation.strength, str):
        return np.zeros_like(image)
    return PERTURB[perturbation.kind](image, perturbation.strength, lots)


def _seed(kind: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind}/{name}".encode()).digest()[:8], "big")


def shifted(image: Image, pixels: float, lots: np.random.Generator) -> Image:
    """Return `image` moved by `pixels` along an axis, bilinear where they are no whole number."""
    right, down = DIRECTIONS[int(lots.integers(len(DIRECTIONS)))]
    return _warped(image, np.array([[1, 0, right * pixels], [0, 1, down * pixels]], np.float64))


def rotated(image: Image, degrees: float, lots: np.random.Generator) -> Image:
    """Return `image` turned about its centre, bilinear; the sense is drawn."""
    sense = 1 if lots.integers(2) else -1
    height, width = image.shape[:2]
    centre = ((width - 1) / 2, (height - 1) / 2)
    return _warped(image, cv2.getRotationMatrix2D(centre, sense * degrees, 1.0))


def _warped(image: Image, matrix: NDArray[np.float64] | cv2.typing.MatLike) -> Image:
    height, width = image.shape[:2]
    moved = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.ascontiguousarray(moved, dtype=np.uint8)


def noisy(image: Image, deviation: float, lots: np.random.Generator) -> Image:
    """Return `image` with Gaussian noise, the same in all channels; in grey levels of 255.

    Clipping makes the deviation smaller where the image is nearly black or white.
    """
    noise = deviation * lots.standard_normal(image.shape[:2], np.float32)
    added = image + (noise if image.ndim == 2 else noise[..., None])
    return np.rint(added).clip(0, 255).astype(np.uint8)


def darkened(image: Image, share: float, lots: np.random.Generator) -> Image:
    """Return `image` with `share` of its linear light taken away (sRGB, IEC 61966-2-1).

    Each of its 256 levels is decoded, scaled by 1 - share, encoded and rounded.
    """
    levels = np.arange(256) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    left = (1 - share) * light
    encoded = np.where(left <= 0.0031308, 12.92 * left, 1.055 * left ** (1 / 2.4) - 0.055)
    table: Image = np.rint(255 * encoded).astype(np.uint8)
    return table[image]


PERTURB: dict[str, Callable[[Image, float, np.random.Generator], Image]] = {
    "shift": shifted,
    "rotation": rotated,
    "infrared_noise": noisy,
    "visible_darkening": darkened,
}
