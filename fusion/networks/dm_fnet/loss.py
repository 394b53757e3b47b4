"""The loss of DM-FNet's fusion head: brightest pixels, strongest edges, the richer contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from fusion.losses import C2, blur, sobel

BRIGHTNESS, CONTRAST = 1.5, 0.5


def selective_contrast(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the mean similarity of contrast and structure to the image with more of it, a scalar.

    All are B x 1 x H x W. It is SSIM's second factor with its window and borders, for each pixel
    against the image whose local variance is larger, `first` where they are equal.
    """
    pairs = (fused * first, fused * second)
    squares = (image * image for image in (fused, first, second))
    moments = blur(torch.cat([fused, first, second, *squares, *pairs], dim=1))
    f, a, b, ff, aa, bb, fa, fb = moments.unbind(dim=1)
    # Rounding makes some variances of flat places negative; the authors' root is NaN there.
    own, in_a, in_b = ((m - mu * mu).clamp_min(0) for m, mu in ((ff, f), (aa, a), (bb, b)))
    first_is_richer = in_a >= in_b
    covariance = torch.where(first_is_richer, fa - f * a, fb - f * b)
    variance = torch.where(first_is_richer, in_a, in_b)
    return ((2 * covariance + C2) / (own + variance + C2)).mean()


def dm_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Return ``{"total", "intensity", "gradient", "contrast"}``, scalars; total is the sum.

    All three are B x 1 x H x W in one common range (DM-FNet trains in [-1, 1]). For medical pairs
    `infrared` is the MRI.
    """
    # Variances are differences of near-equal numbers: half precision would spoil them.
    with torch.autocast(fused.device.type, enabled=False):
        if fused.dtype in (torch.float16, torch.bfloat16):
            fused = fused.float()
        intensity = BRIGHTNESS * (fused - torch.maximum(infrared, visible)).abs().mean()
        edges = torch.maximum(sobel(infrared), sobel(visible))
        gradient = (sobel(fused) - edges).abs().mean()
        contrast = CONTRAST * (1 - selective_contrast(fused, infrared, visible))
    return {
        "total": intensity + gradient + contrast,
        "intensity": intensity,
        "gradient": gradient,
        "contrast": contrast,
    }
