"""GeSeNet's blocks: residual convolutions under sparse masks, and features steering features.

Source: GeSeNet (IEEE TNNLS 2023); the masks descend from SMSR (CVPR 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, LAYERS = 32, 4


class Uniforms(NamedTuple):
    """Numbers in (0, 1) that randomise one branch's masks."""

    spatial: Tensor
    """1 x 2 x H x W."""

    channel: Tensor
    """1 x 32 x 4 x 2."""


def class_probabilities(logits: Tensor, uniform: Tensor | None, axis: int) -> Tensor:
    """Return the softmax along `axis`, or with `uniform` a Gumbel-softmax sample of temperature 1.

    `uniform` has the shape of `logits`, or one that broadcasts to it.
    """
    if uniform is not None:
        # Zero, which a generator may draw, has no logarithm.
        uniform = uniform.to(logits).clamp_min(torch.finfo(logits.dtype).tiny)
        logits = logits - torch.log(-torch.log(uniform))
    return logits.softmax(axis)


class MaskedResidual(nn.Module):
    """Four convolutions whose channels work everywhere or only under a mask, then attention (RMM).

    B x 32 x H x W, H and W even, to the same shape. With `hard` every mask is 0 or 1.
    """

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard = hard
        self.spa_mask = nn.Sequential(
            nn.Conv2d(WIDTH, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(8, 2, 3, stride=2, padding=1, output_padding=1),
        )
        self.body = _MaskedBody()
        self.ca = _ChannelAttention()

    def forward(self, x: Tensor, uniforms: Uniforms | None) -> Tensor:
        """Return x plus its masked convolutions; `uniforms` randomise the masks."""
        spatial, channel = uniforms or (None, None)
        place = class_probabilities(self.spa_mask(x), spatial, 1)[:, 1:]
        kind = class_probabilities(self.body.ch_mask, channel, 3)[0]
        if self.hard:
            place, kind = (place > 0.5).to(x.dtype), kind.round()
        attended: Tensor = self.ca(self.body(x, place, kind)) + x
        return attended


class _MaskedBody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ch_mask = nn.Parameter(torch.rand(1, WIDTH, LAYERS, 2))
        self.body = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(LAYERS)
        )
        self.collect = nn.Conv2d(WIDTH * LAYERS, WIDTH, 1)

    def forward(self, x: Tensor, place: Tensor, kind: Tensor) -> Tensor:
        """Convolve under `place`, B x 1 x H x W; `kind`, 32 x 4 x 2, holds dense and sparse."""
        kinds = kind.view(WIDTH, 1, 1, LAYERS, 2).unbind(3)
        features = [functional.relu(self.body[0](x) * _everywhere(place, kinds[0]))]
        for layer, before, now in zip(self.body[1:], kinds[:-1], kinds[1:], strict=True):
            from_dense, from_sparse = _apart(features[-1], layer.get_parameter("weight"), before)
            total = from_dense * _everywhere(place, now) + from_sparse * (place * now.sum(-1))
            features.append(functional.relu(total))
        collected: Tensor = self.collect(torch.cat(features, dim=1))
        return collected


def _everywhere(place: Tensor, kind: Tensor) -> Tensor:
    """Return how far a channel is kept: whole if dense, only under `place` if sparse."""
    dense, sparse = kind.unbind(-1)
    return sparse * place + dense


def _apart(x: Tensor, weight: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
    """Convolve x as far as it is dense, and as far as it is sparse.

    Both at once, with the channels' factors in the kernels: they are far smaller than x.
    """
    both = functional.conv2d(x, torch.cat([weight * part for part in kind.unbind(-1)]), padding=1)
    first, second = both.chunk(2, dim=1)
    return first, second


class _ChannelAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(WIDTH, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, WIDTH, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = x * self.conv_du(x.mean((2, 3), keepdim=True))
        return scaled


class GlobalRefinement(nn.Module):
    """Features joined with a scale and shifted by an offset computed from a condition (GRM)."""

    def __init__(self) -> None:
        super().__init__()
        self.SFT_scale_conv0 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.SFT_scale_conv1 = nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1)
        self.SFT_shift_conv0 = nn.Conv2d(WIDTH, WIDTH, 1)
        self.SFT_shift_conv1 = nn.Conv2d(WIDTH, 2 * WIDTH, 1)
        self.SFT2 = nn.Conv2d(4 * WIDTH, 2 * WIDTH, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return B x 64 x H x W of such an x and a condition B x 32 x H x W."""
        scale = functional.leaky_relu(self.SFT_scale_conv0(condition), 0.1)
        joined = self.SFT2(torch.cat([x, self.SFT_scale_conv1(scale)], dim=1))
        shift = functional.leaky_relu(self.SFT_shift_conv0(condition), 0.1)
        shifted: Tensor = functional.leaky_relu(joined, 0.01) + self.SFT_shift_conv1(shift)
        return shifted
