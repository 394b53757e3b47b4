"""Sliding windows over images: separable filters and local means, variances and covariances."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

Taps = tuple[float, ...]

_ROWS = 16
"""Rows of a filtered image that one small matrix product makes."""


def gaussian_taps(size: int, sigma: float) -> Taps:
    """Return the `size` taps of a one-dimensional Gaussian, summing to 1."""
    half = (size - 1) / 2
    taps = [math.exp(-((i - half) ** 2) / (2 * sigma**2)) for i in range(size)]
    return tuple(tap / sum(taps) for tap in taps)


def filtered(images: Tensor, taps: Taps, step: int = 1) -> Tensor:
    """Return B x H x W `images` filtered by the square window ``taps x taps``, "valid" only.

    Of the result every `step`-th row and column is kept, from the first. Each direction is a
    product with a banded matrix, `_ROWS` rows at a time: torch has no fast one-channel
    convolution in float64, and shifted sums take twice as long as this.
    """
    return _down(_down(images, taps, step).mT, taps, step).mT


def _down(images: Tensor, taps: Taps, step: int) -> Tensor:
    """Filter the columns of `images`."""
    band = _band(taps, step, images.device)
    rows = (images.shape[1] - len(taps)) // step + 1
    blocks = rows // _ROWS
    out = images.new_empty(len(images), rows, images.shape[2])
    for image, made in zip(images, out, strict=True):
        if blocks:
            strips = image.unfold(0, band.shape[1], _ROWS * step)[:blocks].mT
            target = made[: blocks * _ROWS].view(blocks, _ROWS, -1)
            torch.bmm(band.expand(blocks, -1, -1), strips, out=target)
        if rest := rows - blocks * _ROWS:
            strip = image[blocks * _ROWS * step :][: (rest - 1) * step + len(taps)]
            torch.mm(band[:rest, : len(strip)], strip, out=made[blocks * _ROWS :])
    return out


@lru_cache(maxsize=32)
def _band(taps: Taps, step: int, device: torch.device) -> Tensor:
    """Return the matrix whose row r holds `taps` from column r x `step` on."""
    band = torch.zeros(_ROWS, (_ROWS - 1) * step + len(taps), dtype=torch.float64)
    for row in range(_ROWS):
        band[row, row * step : row * step + len(taps)] = torch.tensor(taps, dtype=torch.float64)
    return band.to(device)


class LocalMoments(NamedTuple):
    """Windowed population moments of two sources a, b and the fused image f, each B x h x w."""

    mean_a: Tensor
    mean_b: Tensor
    mean_f: Tensor
    var_a: Tensor
    var_b: Tensor
    var_f: Tensor
    cov_af: Tensor
    cov_bf: Tensor


def local_moments(a: Tensor, b: Tensor, f: Tensor, taps: Taps) -> LocalMoments:
    """Return the moments of float64 images under the window ``taps x taps``.

    E[xy] - E[x]E[y] cancels almost wholly in flat regions, hence float64 from here on.
    """
    a_mean, b_mean, f_mean = (filtered(x, taps) for x in (a, b, f))
    return LocalMoments(
        a_mean,
        b_mean,
        f_mean,
        filtered(a * a, taps).addcmul_(a_mean, a_mean, value=-1),
        filtered(b * b, taps).addcmul_(b_mean, b_mean, value=-1),
        filtered(f * f, taps).addcmul_(f_mean, f_mean, value=-1),
        filtered(a * f, taps).addcmul_(a_mean, f_mean, value=-1),
        filtered(b * f, taps).addcmul_(b_mean, f_mean, value=-1),
    )
