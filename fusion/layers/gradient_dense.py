"""The convolutions of SeAFusion and GeSeNet: dense blocks with a branch of trained Sobel filters.

Sources: SeAFusion (Information Fusion 2022), https://doi.org/10.1016/j.inffus.2021.12.004, and
GeSeNet (IEEE TNNLS 2023), which takes the block over.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


class IdleNorm(nn.Module):
    """The five entries of a batch normalisation that the published weights hold but never use.

    They are buffers: a checkpoint fits key by key, and no optimiser waits for their gradients.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))


class LeakyConv(nn.Module):
    """3 x 3 convolution, zero-padded, then leaky ReLU of slope 0.2."""

    def __init__(self, c_in: int, c_out: int, idle_norm: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)
        if idle_norm:
            self.bn = IdleNorm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W."""
        return functional.leaky_relu(self.conv(x), 0.2, inplace=True)


class ImageConv(nn.Module):
    """The last layer: 3 x 3 convolution to one channel, squashed into (0, 1) by a tanh."""

    def __init__(self, c_in: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, 1, 3, padding=1)
        self.bn = IdleNorm(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to an image B x 1 x H x W."""
        squashed: Tensor = torch.tanh(self.conv(x))
        return squashed / 2 + 0.5


class GradientDense(nn.Module):
    """Two densely connected convolutions, plus the magnitude of trained gradients of the input.

    B x c_in x H x W to B x c_out x H x W. Called RGBD in SeAFusion, EEM in GeSeNet.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.dense = _Dense(c_in)
        self.sobelconv = _TrainedSobel(c_in)
        self.convdown = _Pointwise(3 * c_in, c_out)
        self.convup = _Pointwise(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Add both branches, then leaky ReLU of slope 0.1."""
        total = self.convdown(self.dense(x)) + self.convup(self.sobelconv(x))
        return functional.leaky_relu(total, 0.1, inplace=True)


class _Dense(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = LeakyConv(channels, channels)
        self.conv2 = LeakyConv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.conv1(x)], dim=1)
        return torch.cat([x, self.conv2(x)], dim=1)


class _TrainedSobel(nn.Module):
    """|horizontal| + |vertical| derivative of every channel, by filters that begin as Sobel's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = torch.tensor(SOBEL)
        self.convx = _depthwise(kernel, channels)
        self.convy = _depthwise(kernel.T, channels)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.convx(x).abs() + self.convy(x).abs()
        return total


class _Pointwise(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


def _depthwise(kernel: Tensor, channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    with torch.no_grad():
        layer.weight.copy_(kernel.expand_as(layer.weight))
    return layer
