"""How several authors take an RGB image apart and put a fused luminance back into it."""

import torch
from torch import Tensor


def luminance(rgb: Tensor) -> Tensor:
    """Return Y, B x 1 x H x W, of RGB in [0, 1]."""
    r, g, b = rgb.split(1, dim=1)
    return 0.299 * r + 0.587 * g + 0.114 * b


def recoloured(fused: Tensor, rgb: Tensor) -> Tensor:
    """Return `rgb` with its luminance replaced by `fused`, within [0, 1]."""
    y = luminance(rgb)
    cr = ((rgb[:, :1] - y) * 0.713 + 0.5).clamp(0, 1) - 0.5
    cb = ((rgb[:, 2:] - y) * 0.564 + 0.5).clamp(0, 1) - 0.5
    channels = [fused + 1.403 * cr, fused - 0.714 * cr - 0.344 * cb, fused + 1.773 * cb]
    return torch.cat(channels, dim=1).clamp(0, 1)
