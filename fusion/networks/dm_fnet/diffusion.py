"""The diffusion of DM-FNet: how much of an image is left after t of 2000 steps of noise."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Schedule = Literal["linear", "cosine"]
STEPS = 2000
FIRST, LAST = 1e-6, 1e-2
OFFSET, MOST = 8e-3, 0.999


@cache
def betas(schedule: Schedule) -> NDArray[np.float64]:
    """Return the variance that each of the 2000 steps adds, as a share, float64."""
    if schedule == "linear":
        return np.linspace(FIRST, LAST, STEPS)
    angle = (np.arange(STEPS + 1) / STEPS + OFFSET) / (1 + OFFSET) * math.pi / 2
    left = np.cos(angle) ** 2
    added: NDArray[np.float64] = np.minimum(1 - left[1:] / left[:-1], MOST)
    return added


@cache
def levels(schedule: Schedule) -> NDArray[np.float64]:
    """Return the share of the image that is left after 0 to 2000 steps: float64[2001] from 1."""
    kept: NDArray[np.float64] = np.sqrt(np.cumprod(1 - betas(schedule)))
    return np.concatenate([[1.0], kept])


def level_after(steps: Tensor, schedule: Schedule) -> Tensor:
    """Return the levels after so many `steps`, 0 to 2000, float64, in the shape of `steps`."""
    return torch.from_numpy(levels(schedule))[steps]


def draw(
    like: Tensor, steps: Tensor, schedule: Schedule, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return levels, B x 1, and noise, B x 1 x H x W, for the images `like`.

    A level is uniform between those after t - 1 and t steps, where t is an image's own of `steps`
    (B x 1, or 1 x 1 for all; whole numbers from 1 to 2000). What a `generator` (of the CPU) draws
    is the same on every device and in every precision.
    """
    where = like.device if generator is None else torch.device("cpu")
    more, less = (level_after(t, schedule).to(where) for t in (steps - 1, steps))
    share = torch.rand(len(like), 1, generator=generator, device=where)
    noise = torch.randn(like.shape, generator=generator, device=where)
    return (less + (more - less) * share).to(like), noise.to(like)


def noised(images: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """Return ``level * images + sqrt(1 - level^2) * noise``, B x 1 x H x W; `level` is B x 1."""
    share = level[..., None, None]
    return share * images + (1 - share.square()).sqrt() * noise
