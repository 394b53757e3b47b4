"""EMMA's fusion network, U-Fuser: two encoders and one decoder of global-local blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.layers.restormer import DenseBlock

WIDTHS = (8, 16, 32, 32)
"""Channels from full to eighth resolution."""


def _reflect(channels_in: int, channels_out: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(
        channels_in, channels_out, 3, stride, padding=1, bias=bias, padding_mode="reflect"
    )


class ResidualUnit(nn.Module):
    """Two 3 x 3 convolutions with a ReLU between, added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        first, second = (_reflect(channels, channels, bias=True) for _ in range(2))
        self.conv = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Return B x C x H x W as `x`; H and W must be at least 2."""
        out: Tensor = x + self.conv(x)
        return out


class LocalFeature(nn.Module):
    """Two residual units."""

    def __init__(self, channels: int):
        super().__init__()
        self.Extraction = nn.Sequential(ResidualUnit(channels), ResidualUnit(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return B x C x H x W as `x`."""
        out: Tensor = self.Extraction(x)
        return out


class Block(nn.Module):
    """Global attention over channels beside local convolutions, joined by a convolution."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.embed = _reflect(channels_in, channels)
        self.GlobalFeature = DenseBlock(channels, padding_mode="reflect")
        self.LocalFeature = LocalFeature(channels)
        self.FFN = _reflect(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return B x `channels` x H x W of B x `channels_in` x H x W, at least 2 x 2."""
        embedded = self.embed(x).contiguous(memory_format=torch.channels_last)
        both = [self.GlobalFeature(embedded), self.LocalFeature(embedded)]
        out: Tensor = self.FFN(torch.cat(both, dim=1))
        return out


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    shift = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(shift, nn.ReLU())


class UFuser(nn.Module):
    """U-Fuser: B x 1 x H x W of either sensor, sides multiples of 8 and at least 16, to one."""

    def __init__(self) -> None:
        super().__init__()
        for sensor in "IV":
            for level, (before, width) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False), 1):
                self.add_module(f"{sensor}_en_{level}", Block(before, width))
                if level > 1:
                    down = _reflect(before, before, stride=2)
                    self.add_module(f"{sensor}_down{level - 1}", down)
        for level, width in enumerate(WIDTHS, 1):
            lowest = level == len(WIDTHS)
            self.add_module(f"f_{level}", Block(2 * width, width))
            self.add_module(f"de_{level}", Block(width if lowest else 2 * width, width))
        self.up4, self.up3, self.up2 = _up(32, 32), _up(32, 16), _up(16, 8)
        self.last = nn.Sequential(_reflect(WIDTHS[0], 1, bias=True), nn.Sigmoid())

    def run(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused image, B x 1 x H x W in (0, 1)."""
        fused, pair = [], (infrared, visible)
        for level in range(1, len(WIDTHS) + 1):
            if level > 1:
                pair = self._apply_pair(f"down{level - 1}", pair)
            pair = self._apply_pair(f"en_{level}", pair)
            fused.append(self.get_submodule(f"f_{level}")(torch.cat(pair, dim=1)))
        x = fused.pop()
        for level in range(len(WIDTHS), 1, -1):
            x = self.get_submodule(f"up{level}")(self.get_submodule(f"de_{level}")(x))
            x = torch.cat([x, fused.pop()], dim=1)
        out: Tensor = self.last(self.get_submodule("de_1")(x))
        return out

    def _apply_pair(self, name: str, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        infrared, visible = (self.get_submodule(f"{sensor}_{name}") for sensor in "IV")
        return infrared(pair[0]), visible(pair[1])
