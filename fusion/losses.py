"""The training loss of LKC-FUNet: intensity, structure and gradient against both sources."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for a unit range; the authors keep them for [-1, 1] too


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean structural similarity of two B x 1 x H x W batches, a scalar.

    Gaussian window 11 x 11 with sigma 1.5, zero padding, population moments, borders counted
    (the authors' definition in DM-FNet; the usual one crops the borders).
    """
    moments = torch.cat([first, second, first * first, second * second, first * second], dim=1)
    mu1, mu2, e11, e22, e12 = blur(moments).unbind(dim=1)
    variances = (e11 - mu1 * mu1) + (e22 - mu2 * mu2)
    covariance = e12 - mu1 * mu2
    top = (2 * mu1 * mu2 + C1) * (2 * covariance + C2)
    return (top / ((mu1 * mu1 + mu2 * mu2 + C1) * (variances + C2))).mean()


def sobel(image: Tensor) -> Tensor:
    """Return |Gx| + |Gy| of a B x 1 x H x W batch, the same shape, zero-padded, unnormalised."""
    around = functional.pad(image, (1, 1, 1, 1))
    step_x = around[..., 2:] - around[..., :-2]
    step_y = around[..., :-2, :] - around[..., 2:, :]
    gx = step_x[..., :-2, :] + 2 * step_x[..., 1:-1, :] + step_x[..., 2:, :]
    gy = step_y[..., :-2] + 2 * step_y[..., 1:-1] + step_y[..., 2:]
    return gx.abs() + gy.abs()


def fusion_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Return ``{"total", "intensity", "ssim", "gradient"}``, scalars; total is the plain sum.

    All three are B x 1 x H x W in one common range (LKC-FUNet trains in [-1, 1]). For medical
    pairs `infrared` is the MRI. Source: arXiv 2411.10036, Eq. 6-8, all weights 1.
    """
    # Variances are differences of near-equal numbers: half precision would spoil the SSIM.
    with torch.autocast(fused.device.type, enabled=False):
        return _fusion_loss(_full(fused), _full(infrared), _full(visible))


def _full(image: Tensor) -> Tensor:
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image


def _fusion_loss(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    intensity = (fused - torch.maximum(infrared, visible)).abs().mean()
    similarity = 1 - 0.5 * (ssim(infrared, fused) + ssim(visible, fused))
    edges = torch.maximum(sobel(infrared), sobel(visible))
    gradient = (sobel(fused) - edges).abs().mean()
    return {
        "total": intensity + similarity + gradient,
        "intensity": intensity,
        "ssim": similarity,
        "gradient": gradient,
    }


def blur(images: Tensor) -> Tensor:
    """Return local means of B x C x H x W: Gaussian window 11 x 11, sigma 1.5, zeros around."""
    # The window is an outer product, so it is two products with banded matrices; on a CPU these
    # take a tenth of the time of one-channel convolutions.
    height, width = images.shape[-2:]
    return _band(height, images) @ images @ _band(width, images)


def _band(size: int, like: Tensor) -> Tensor:
    """Return the symmetric size x size matrix that blurs one axis, zeros beyond its ends."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    reach = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    distance = (place[:, None] - place[None, :]).abs()
    weights = torch.exp(-distance * distance / (2 * SIGMA * SIGMA))
    weights = weights * (distance <= WINDOW // 2)
    return weights / torch.exp(-reach * reach / (2 * SIGMA * SIGMA)).sum()
