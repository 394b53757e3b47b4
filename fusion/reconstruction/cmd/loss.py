"""What the network is trained by: every cascade's image, the last one most."""

from __future__ import annotations

import torch
from torch import Tensor

from fusion.reconstruction.cmd.network import Reconstructed
from fusion.reconstruction.measures import ssim

ROUND_TRIP = 0.01
"""The weight of the sparse transforms' own errors."""


def cmd_loss(made: Reconstructed, target: Tensor) -> dict[str, Tensor]:
    """Return the parts of the loss and their sum "total"; `target` is complex, B x H x W."""
    last = len(made.images) - 1
    weights = [10.0 ** ((n - last) / max(1, last)) for n in range(last + 1)]
    truth = magnitude(target)
    pixels = sum(
        (w * _mse(x, target) for w, x in zip(weights, made.images, strict=True)), _none(truth)
    )
    structure = sum(
        (
            w * (1 - ssim(magnitude(x), truth).mean())
            for w, x in zip(weights, made.images, strict=True)
        ),
        _none(truth),
    )
    trip = ROUND_TRIP * sum((error.square().mean() for error in made.errors), _none(truth))
    return {"total": pixels + structure + trip, "pixels": pixels, "structure": structure}


def magnitude(x: Tensor) -> Tensor:
    """Return the magnitudes of a complex image, differentiable where it is 0."""
    return torch.sqrt(x.real.square() + x.imag.square() + 1e-8)


def _mse(x: Tensor, target: Tensor) -> Tensor:
    return torch.view_as_real(x - target).square().mean()


def _none(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=like.dtype, device=like.device)
