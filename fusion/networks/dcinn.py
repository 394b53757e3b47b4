"""The building blocks of DCINN: Haar levels, exponential convolution, conditioned coupling.

All maps are B x C x H x W. Attribute names are those of the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TERMS = 10
"""Terms of the exponential series after the identity."""


def conv(c_in: int, c_out: int) -> nn.Sequential:
    """Return a 3 x 3 convolution behind a reflected border; the size is kept."""
    return nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c_in, c_out, 3))


class Haar(nn.Module):
    """One level of the Haar transform of `channels` channels, and its exact inverse.

    The four patterns (sum, left - right, top - bottom, diagonal) repeat for every channel.
    """

    haar_weights: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        signs = [[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]
        patterns = torch.tensor(signs, dtype=torch.float32)[:, None]
        self.register_buffer("haar_weights", patterns.repeat(channels, 1, 1, 1))

    def down(self, x: Tensor) -> Tensor:
        """Return B x 4C x H/2 x W/2 of B x C x H x W, all channels of one pattern together."""
        y = F.conv2d(x, self.haar_weights / 4, stride=2, groups=self.channels)
        grouped = torch.unflatten(y, 1, (self.channels, 4))
        return grouped.transpose(1, 2).flatten(1, 2)

    def up(self, x: Tensor) -> Tensor:
        """Undo `down`: B x C x 2H x 2W of B x 4C x H x W."""
        y = torch.unflatten(x, 1, (4, self.channels)).transpose(1, 2).flatten(1, 2)
        return F.conv_transpose2d(y, self.haar_weights, stride=2, groups=self.channels)


class _Squeeze(nn.Module):
    """Scale every channel by a gate computed from the means of all."""

    def __init__(self, width: int):
        super().__init__()
        hidden = width // 8
        self.conv_du = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.conv_du(x.mean((2, 3), keepdim=True))
        return out


class Residual(nn.Module):
    """Two reflected 3 x 3 convolutions and a channel gate beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Sequential(*conv(width, width), nn.LeakyReLU(0.2), *conv(width, width))
        self.se = _Squeeze(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined map, as wide as `x`."""
        out: Tensor = x + self.se(self.conv1(x))
        return out


class _Product(nn.Module):
    """Add a mixture of products of two linear projections, without any activation."""

    def __init__(self, width: int):
        super().__init__()
        self.g = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.q = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.o = nn.Conv2d(2 * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.o(self.g(x) * self.q(x))
        return out


class _Conditioned(nn.Module):
    """A sub-network of the coupling that sees the map and the condition."""

    def __init__(self, c_in: int, c_out: int, width: int, condition: int):
        super().__init__()
        self.conv1 = conv(c_in + condition, width)
        self.ca = _Product(width)
        self.conv2 = Residual(width)
        self.conv3 = conv(width, c_out)
        for parameter in self.conv3.parameters():
            nn.init.zeros_(parameter)  # an untrained step is close to the identity

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.conv1(torch.cat([x, condition], dim=1))
        out: Tensor = self.conv3(self.conv2(self.ca(y)))
        return out


class InvertibleBlock(nn.Module):
    """Exponential convolution, then an affine coupling of the two halves of the channels."""

    def __init__(self, channels: int, width: int, condition: int):
        super().__init__()
        half = channels // 2
        self.kernel1 = nn.Parameter(1e-6 * torch.rand(channels, channels, 5, 5))
        self.F = _Conditioned(half, half, width, condition)
        self.G = _Conditioned(half, half, width, condition)
        self.H = _Conditioned(half, half, width, condition)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the map as wide as `x`; `condition` is B x condition x H x W."""
        x1, x2 = exponential(x, self.kernel1).chunk(2, dim=1)
        y1 = x1 + self.F(x2, condition)
        scale = 2 * torch.sigmoid(self.H(y1, condition)) - 1
        return torch.cat([y1, x2 * scale.exp() + self.G(y1, condition)], dim=1)


def exponential(x: Tensor, kernel: Tensor) -> Tensor:
    """Return exp(K) x, K the zero-padded convolution with `kernel`, by its power series."""
    total = term = x
    for t in range(1, TERMS + 1):
        term = F.conv2d(term, kernel, padding=2) / t
        total = total + term
    return total


class ConditionNet(nn.Module):
    """Features of both images at a half, a quarter and an eighth of their size."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.in_conv = nn.Conv2d(2, width, 3)
        self.df = nn.Sequential(Residual(width), Residual(width))
        self.tail1 = nn.Conv2d(width, 8, 3)
        self.tail2 = nn.Conv2d(width, 16, 3)
        self.tail3 = nn.Conv2d(width, 32, 3)

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return 8, 16 and 32 channels of the pair, B x 2 x H x W."""
        h1 = _half(self.df(self.in_conv(_reflect(pair))))
        m1 = self.tail1(_reflect(h1))
        h2 = _reflect(_half(h1))
        return m1, self.tail2(h2), _half(self.tail3(h2))


class InvertibleNet(nn.Module):
    """Three Haar levels down and up again, with invertible blocks at every level."""

    def __init__(self) -> None:
        super().__init__()
        self.har_in1, self.har_in2, self.har_in3 = Haar(1), Haar(4), Haar(16)
        self.inv_in1, self.inv_in2 = InvertibleBlock(4, 8, 8), InvertibleBlock(16, 32, 16)
        self.operations = nn.ModuleList(InvertibleBlock(64, 64, 32) for _ in range(4))
        self.har_out3, self.har_out2, self.har_out1 = Haar(16), Haar(4), Haar(1)
        self.inv_out2, self.inv_out1 = InvertibleBlock(16, 32, 16), InvertibleBlock(4, 8, 8)

    def forward(self, x: Tensor, conditions: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return B x 1 x H x W of such a map; H and W are multiples of 8, at least 16."""
        m1, m2, m3 = conditions
        x = self.inv_in1(self.har_in1.down(x), m1)
        x = self.har_in3.down(self.inv_in2(self.har_in2.down(x), m2))
        for block in self.operations:
            x = block(x, m3)
        x = self.har_out2.up(self.inv_out2(self.har_out3.up(x), m2))
        return self.har_out1.up(self.inv_out1(x, m1))


def _half(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def _reflect(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="reflect")
