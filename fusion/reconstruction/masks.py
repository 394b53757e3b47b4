"""Which samples of a k-space are taken, so that a scan is shorter.

A mask is bool H x W, low frequencies at the corners as Fourier transforms have them, with exactly
one in `acceleration` samples (columns, of Cartesian ones) taken, the centre among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError, did_you_mean

MaskKind = Literal["random", "equispaced", "gaussian"]
MASK_KINDS: tuple[MaskKind, ...] = get_args(MaskKind)
Mask = NDArray[np.bool_]
SPREAD = 1 / 3
"""Standard deviation of the Gaussian density, as a share of half a side."""


@dataclass(frozen=True)
class Sampling:
    """How a k-space is undersampled: the kind of mask, and how much of it is left.

    "random" and "equispaced" take whole columns, "gaussian" single points, more of them at low
    frequencies. `centre_fraction` is the share of columns, or of the area, around the lowest
    frequency that is taken whole. Raises InputError for an unknown kind, an acceleration that is
    not finite and above 1, and a centre fraction that is not above 0 or leaves nothing to draw.
    """

    kind: MaskKind
    acceleration: float
    centre_fraction: float

    def __post_init__(self) -> None:
        if self.kind not in MASK_KINDS:
            hint = did_you_mean(str(self.kind), list(MASK_KINDS))
            raise InputError(f'There is no undersampling mask "{self.kind}".{hint}')
        if not _number(self.acceleration) or not 1 < self.acceleration < math.inf:
            raise InputError(
                f"acceleration is {self.acceleration!r}; use a finite number above 1, such as 4: "
                f"one in so many samples is taken."
            )
        if (
            not _number(self.centre_fraction)
            or not 0 < self.centre_fraction < 1 / self.acceleration
        ):
            raise InputError(
                f"centre_fraction is {self.centre_fraction!r}; at acceleration "
                f"{self.acceleration:g} use a number above 0 and below {1 / self.acceleration:g}, "
                f"all that is taken."
            )

    def draw(self, height: int, width: int, lots: np.random.Generator) -> Mask:
        """Return a mask; InputError for an image that is too small for it."""
        return DRAW[self.kind](self, height, width, lots)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _budget(sampling: Sampling, number: int, what: str) -> int:
    """Return how many of `number` samples are taken; InputError where that is none."""
    taken = round(number / sampling.acceleration)
    if taken < 1:
        raise InputError(
            f"The undersampling mask is larger than the image: acceleration "
            f"{sampling.acceleration:g} takes one of {sampling.acceleration:g} {what}, and there "
            f"are {number}; lower it, or leave the image out."
        )
    return taken


def _columns(sampling: Sampling, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return the centre's columns, the others by frequency, and how many of these to take."""
    taken = _budget(sampling, width, "columns")
    centre = min(taken, max(1, round(width * sampling.centre_fraction)))
    # Centred: the middle column is the lowest frequency.
    order = np.arange(width)
    inside = np.abs(2 * (order - width // 2) + (centre + 1) % 2) < centre
    return order[inside], order[~inside], taken - int(inside.sum())


def _random(sampling: Sampling, height: int, width: int, lots: np.random.Generator) -> Mask:
    centre, others, left = _columns(sampling, width)
    return _of_columns(height, width, centre, lots.choice(others, left, replace=False))


def _equispaced(sampling: Sampling, height: int, width: int, lots: np.random.Generator) -> Mask:
    centre, others, left = _columns(sampling, width)
    spacing = len(others) / max(1, left)
    places = (np.arange(left) * spacing + lots.uniform(0, spacing)).astype(np.intp)
    return _of_columns(height, width, centre, others[places])


def _of_columns(height: int, width: int, *taken: NDArray[np.intp]) -> Mask:
    line = np.zeros(width, dtype=np.bool_)
    line[np.concatenate(taken)] = True
    return np.repeat(np.fft.ifftshift(line)[None], height, axis=0)


def _gaussian(sampling: Sampling, height: int, width: int, lots: np.random.Generator) -> Mask:
    taken = _budget(sampling, height * width, "samples")
    y, x = (np.arange(side) - side // 2 for side in (height, width))
    share = math.sqrt(sampling.centre_fraction) / 2
    mask: Mask = (np.abs(y)[:, None] < share * height) & (np.abs(x)[None] < share * width)
    rows, columns = ((2 * at / side / SPREAD) ** 2 for at, side in ((y, height), (x, width)))
    density = np.where(mask, 0.0, np.exp(-(rows[:, None] + columns[None]) / 2)).ravel()
    left = max(0, taken - int(mask.sum()))
    drawn = lots.choice(density.size, left, replace=False, p=density / density.sum())
    mask.ravel()[drawn] = True
    return np.fft.ifftshift(mask)


DRAW: dict[MaskKind, Callable[[Sampling, int, int, np.random.Generator], Mask]] = {
    "random": _random,
    "equispaced": _equispaced,
    "gaussian": _gaussian,
}
