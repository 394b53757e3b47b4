"""The collaborative model-driven network for MRI reconstruction (Qiao et al., arXiv 2402.03383).

A cascade asks two subnetworks of different priors, trusts one of them at each pixel (relative
confidence), corrects where neither is trusted (overall confidence), and puts the samples back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import InputError
from fusion.reconstruction.cmd.blocks import (
    Consistency,
    Sparse,
    Variational,
    attention,
    channels,
    complex_of,
)
from fusion.reconstruction.cmd.unet import SMALLEST, UNet
from fusion.reconstruction.kspace import Measurement

PRESETS: Mapping[str, Mapping[str, int]] = {
    "paper": {"cascades": 10, "variational": 16, "correction": 4, "width": 32},
    "small": {"cascades": 5, "variational": 8, "correction": 4, "width": 16},
    "tiny": {"cascades": 3, "variational": 8, "correction": 4, "width": 8},
}
"""Parameters: paper 20.8 million, small 3.1, tiny 1.8."""
HISTORY = 2
"""Of how many cascades the attention sees what the subnetworks made."""


@dataclass(frozen=True)
class Reconstructed:
    """The images after every cascade, complex B x H x W, and each sparse transform's error."""

    images: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]

    @property
    def image(self) -> Tensor:
        """The result: the last cascade's image."""
        return self.images[-1]


class CmdNet(nn.Module):
    """`cascades` cascades of U-Nets `variational` and `correction` wide, others `width`.

    Raises InputError for parameters that are no whole numbers above 0.
    """

    def __init__(
        self, cascades: int = 10, variational: int = 16, correction: int = 4, width: int = 32
    ) -> None:
        super().__init__()
        _check(cascades=cascades, variational=variational, correction=correction, width=width)
        self.var_blocks = nn.ModuleList(Variational(variational) for _ in range(cascades))
        self.sparse_blocks = nn.ModuleList(Sparse(width) for _ in range(cascades))
        seen = (2 * min(n + 1, HISTORY) + 1 for n in range(cascades))
        self.attention = nn.ModuleList(attention(inputs, width) for inputs in seen)
        self.conv_blocks = nn.ModuleList(UNet(correction) for _ in range(cascades))
        self.dc_blocks = nn.ModuleList([Consistency()] * cascades)  # one for all, as published

    def forward(self, measured: Measurement) -> Reconstructed:
        """Reconstruct; InputError for images with a side shorter than `SMALLEST`."""
        start = x = measured.zero_filled
        check_size(*x.shape[-2:])
        first: list[Tensor] = []
        second: list[Tensor] = []
        images, errors = [], []
        blocks = (self.var_blocks, self.sparse_blocks, self.attention, self.conv_blocks)
        for variational, sparse, attends, corrects, consistent in zip(
            *blocks, self.dc_blocks, strict=True
        ):
            x1 = variational(x, measured)
            x2, error = sparse(x, measured)
            first, second = [*first, x1][-HISTORY:], [*second, x2][-HISTORY:]
            maps = attends(torch.cat([channels(one) for one in (*first, *second, start)], dim=1))
            relative, overall = maps[:, 0], maps[:, 1]
            x = relative * x1 + (1 - relative) * x2
            corrected = complex_of(corrects(channels(x))) + x
            x = consistent(overall * corrected + (1 - overall) * x, measured)
            images.append(x)
            errors.append(error)
        return Reconstructed(tuple(images), tuple(errors))


def build(preset: str) -> CmdNet:
    """Return an untrained network of one of the `PRESETS`."""
    return CmdNet(**PRESETS[preset])


def check_size(height: int, width: int, name: str = "this one") -> None:
    """Raise InputError for an image that is too small to be reconstructed."""
    if min(height, width) < SMALLEST:
        raise InputError(
            f"cmd reconstructs images of at least {SMALLEST}x{SMALLEST} pixels, and {name} is "
            f"{width}x{height}; leave it out, or use zero-filled alone."
        )


def _check(**given: Any) -> None:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"cmd: {name} is {value!r}, but must be a whole number above 0.")
