"""Multi-focus pairs made from sharp images: each half is out of focus in one of the two."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

RADIUS = 3
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def defocus(sharp: Tensor) -> Tensor:
    """Return B x C x H x W blurred by the mean of 7 x 7 pixels, borders repeated."""
    around = functional.pad(sharp, (RADIUS,) * 4, mode="replicate")
    return functional.avg_pool2d(around, 2 * RADIUS + 1, stride=1)


def multi_focus_pair(sharp: Tensor) -> tuple[Tensor, Tensor]:
    """Return two images in which complementary halves of `sharp` (B x C x H x W) are defocused.

    The halves meet in a straight line through the middle, turned by the golden angle from one
    image of the batch to the next: every direction occurs, and equal batches give equal pairs.
    """
    halves, blurred = _halves(sharp), defocus(sharp)
    return torch.where(halves, sharp, blurred), torch.where(halves, blurred, sharp)


def _halves(like: Tensor) -> Tensor:
    """Return B x 1 x H x W, true on one side of each image's line."""
    batch, _, height, width = like.shape
    angle = GOLDEN_ANGLE * torch.arange(batch, dtype=like.dtype, device=like.device)
    y, x = (
        torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2 for n in (height, width)
    )
    along = angle.cos().view(-1, 1, 1) * x + angle.sin().view(-1, 1, 1) * y[:, None]
    return along[:, None] > 0
