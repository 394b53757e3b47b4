"""Metrics of grey-level gradients: AG, SF and Qabf."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from fusion.quality.settings import Convention
from fusion.quality.triple import Triple


def average_gradient(images: Triple, convention: Convention) -> Tensor:
    """AG, the mean of sqrt((gx^2 + gy^2) / 2), in grey levels per pixel.

    Central differences inside, one-sided ones at the border. ``paper`` divides the sum by
    (M - 1)(N - 1), ``released`` by MN, for images of M rows and N columns.
    """
    down, across = images.steps
    # The sum of the steps before and after a pixel is twice its gradient; a border step counts
    # twice.
    down = functional.pad(down, (0, 0, 1, 1), mode="replicate")
    across = functional.pad(across, (1, 1), mode="replicate")
    square = (down[:, 1:] + down[:, :-1]).square_()
    square.add_((across[:, :, 1:] + across[:, :, :-1]).square_())
    total = square.sqrt_().sum(dim=(1, 2)) / math.sqrt(8)
    if convention == "released":
        return total / images.pixels
    return total / ((images.height - 1) * (images.width - 1))


def spatial_frequency(images: Triple, convention: Convention) -> Tensor:
    """SF, the root of the mean squared vertical plus horizontal step, in grey levels.

    ``paper`` divides both sums by MN, ``released`` each by its own number of steps.
    """
    total = images.zeros()
    for steps in images.steps:
        count = steps[0].numel() if convention == "released" else images.pixels
        total += steps.square().sum(dim=(1, 2)) / count
    return total.sqrt()


def edge_preservation(images: Triple, convention: Convention) -> Tensor:
    """Qabf, how much of the sources' edge strength and direction the fused image keeps, 0 to 1.

    Xydeas and Petrovic 2000, with the released evaluator's details: zeros beyond the border (so
    that the frame has edges) and, where both edges are equally strong, the strength itself in
    place of the ratio 1.
    """
    fused, first, second = (_Edges(image) for image in images.levels)
    kept = _kept(first, fused) + _kept(second, fused)
    return kept / (_total(first.strength) + _total(second.strength))


class _Edges:
    """Sobel edges of B x H x W images: strength, and angle within (-pi/2, pi/2].

    In float32: Sobel's integers are exact in it and below 2^22, so that roots of different
    squared strengths stay different.
    """

    def __init__(self, levels: Tensor) -> None:
        frame = functional.pad(levels.float(), (1, 1, 1, 1))
        across = _smoothed(frame[:, :, 2:] - frame[:, :, :-2], -2)
        down = _smoothed(frame[:, :-2] - frame[:, 2:], -1)
        self.strength = (across * across).addcmul_(down, down).sqrt_()
        # Where there is no horizontal gradient the angle is pi/2, whatever the vertical one.
        upright = (across == 0).float()
        down = torch.lerp(down, torch.ones_like(down), upright)
        self.angle = down.div_(across.add_(upright, alpha=1e-30)).atan_()


def _smoothed(image: Tensor, dim: int) -> Tensor:
    size = image.shape[dim] - 2
    ends = image.narrow(dim, 0, size) + image.narrow(dim, 2, size)
    return ends.add_(image.narrow(dim, 1, size), alpha=2)


def _kept(source: _Edges, fused: _Edges) -> Tensor:
    """Return the sum over pixels of Q x the source's strength, B values."""
    weak = torch.minimum(source.strength, fused.strength)
    strong = torch.maximum(source.strength, fused.strength)
    equal = (weak == strong).float()
    ratio = torch.lerp(weak / strong.clamp_(min=1e-30), fused.strength, equal)
    agreement = (source.angle - fused.angle).abs_().mul_(-2 / math.pi).add_(1)
    strength = torch.sigmoid_(ratio.sub_(0.5).mul_(15)).mul_(0.9994)
    direction = torch.sigmoid_(agreement.sub_(0.8).mul_(22)).mul_(0.9879)
    return _total(strength.mul_(direction).mul_(source.strength))


def _total(image: Tensor) -> Tensor:
    return image.sum(dim=(1, 2), dtype=torch.float64)
