"""The U-Net that regularises and corrects complex images, two real channels of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 4
SLOPE = 0.2
SMALLEST = 2 ** (LEVELS + 1)
"""Fewer pixels on a side leave nothing to normalise at the bottom."""


class Block(nn.Module):
    """Twice a 3 x 3 convolution, instance normalisation and LeakyReLU: B x a x H x W to B x b."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_normed(given, made), nn.Identity(), *_normed(made, made))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.layers(x)
        return features


def _normed(given: int, made: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(given, made, 3, padding=1, bias=False)
    return convolution, nn.InstanceNorm2d(made), nn.LeakyReLU(SLOPE)


class Doubling(nn.Module):
    """Twice the size in half the channels: B x 2c x H x W to B x c x 2H x 2W."""

    def __init__(self, made: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(2 * made, made, 2, stride=2, bias=False),
            nn.InstanceNorm2d(made),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the features in the size of `like`, of which odd sizes lack a row or a column."""
        larger: Tensor = self.layers(x)
        height, width = (like.shape[axis] - larger.shape[axis] for axis in (-2, -1))
        return functional.pad(larger, (0, width, 0, height), "reflect")


class UNet(nn.Module):
    """Two channels to two, over four levels of `width`, 2, 4 and 8 `width` channels.

    B x 2 x H x W to the same shape, H and W at least `SMALLEST`, odd ones, too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = [width * 2**level for level in range(LEVELS)]
        down = zip([2, *wide[:-1]], wide, strict=True)
        self.down_sample_layers = nn.ModuleList(Block(*channels) for channels in down)
        self.conv = Block(wide[-1], 2 * wide[-1])
        self.up_transpose_conv = nn.ModuleList(Doubling(one) for one in reversed(wide))
        *inner, first = [Block(2 * one, one) for one in reversed(wide)]
        self.up_conv = nn.ModuleList([*inner, nn.Sequential(first, nn.Conv2d(width, 2, 1))])

    def forward(self, x: Tensor) -> Tensor:
        """Return what is to be added to the image."""
        kept: list[Tensor] = []
        for layer in self.down_sample_layers:
            x = layer(x)
            kept.append(x)
            x = functional.avg_pool2d(x, 2)
        x = self.conv(x)
        for larger, layer in zip(self.up_transpose_conv, self.up_conv, strict=True):
            skip = kept.pop()
            x = layer(torch.cat([larger(x, skip), skip], dim=1))
        return x
