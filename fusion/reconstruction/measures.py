"""How near a reconstruction is to the fully sampled image, on magnitudes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MEASURES = ("PSNR", "SSIM", "NMSE")
LOWER = ("NMSE",)
"""Of these the lowest value is best."""
WINDOW, K1, K2 = 7, 0.01, 0.03


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, peak the truth's maximum: B x H x W to B."""
    error = (image - truth).square().mean(dim=(1, 2))
    return 10 * torch.log10(truth.amax(dim=(1, 2)).square() / error)


def nmse(image: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error over the truth's energy: B x H x W to B."""
    error = (image - truth).square().sum(dim=(1, 2))
    return error / truth.square().sum(dim=(1, 2))


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity: B x H x W to B, H and W at least 7.

    Uniform 7 x 7 windows within the image, sample covariances, range the truth's maximum, as
    scikit-image's default has it.
    """
    peak = truth.amax(dim=(1, 2))[:, None, None]
    first, second = (K1 * peak).square(), (K2 * peak).square()
    a, b = _mean(image), _mean(truth)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    var_a = sample * (_mean(image.square()) - a.square())
    var_b = sample * (_mean(truth.square()) - b.square())
    both = sample * (_mean(image * truth) - a * b)
    light = (2 * a * b + first) / (a.square() + b.square() + first)
    return (light * (2 * both + second) / (var_a + var_b + second)).mean(dim=(1, 2))


def _mean(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x[:, None], WINDOW, stride=1)[:, 0]


def measures(image: Tensor, truth: Tensor) -> Tensor:
    """Return the `MEASURES` of magnitudes, float64[B, 3] of B x H x W."""
    image, truth = image.double(), truth.double()
    return torch.stack([psnr(image, truth), ssim(image, truth), nmse(image, truth)], dim=1)
