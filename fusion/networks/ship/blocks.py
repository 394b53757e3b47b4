"""The building blocks of SHIP: edge features, an invertible step, refinement.

All maps are B x C x H x W and keep their height and width. Attribute names are those of the
published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLUS, DIAGONAL = (1, 3, 4, 5, 7), (0, 2, 4, 6, 8)
"""The cells of a 3 x 3 kernel, counted along the rows, that a five-weight cross fills."""
DIFFERENCE = 0.8
"""How much of the kernel's sum is taken off its centre: 1 would make a pure difference filter."""


def conv(c_in: int, c_out: int, kernel: int = 3) -> nn.Conv2d:
    """Return a convolution with bias, zero-padded to keep the size."""
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2)


def conv_pair(width: int) -> nn.Sequential:
    """Return 3 x 3 convolution, ReLU, 3 x 3 convolution, all `width` channels wide."""
    return nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width))


def squeeze(width: int, hidden: int) -> nn.Sequential:
    """Return the two-layer perceptron, width -> hidden -> width, of a B x width x 1 x 1 map."""
    return nn.Sequential(conv(width, hidden, 1), nn.ReLU(), conv(hidden, width, 1))


class _CrossKernel(nn.Module):
    def __init__(self, width: int, cells: tuple[int, ...]):
        super().__init__()
        self.cells = list(cells)
        self.conv = nn.Conv2d(width, width, (1, 5), bias=False)

    def forward(self) -> Tensor:
        weight = self.conv.weight.squeeze(2)
        kernel = weight.new_zeros(*weight.shape[:2], 9)
        kernel[..., self.cells] = weight
        kernel[..., 4] -= DIFFERENCE * weight.sum(-1)
        return kernel.view(*weight.shape[:2], 3, 3)


class CrossDifference(nn.Module):
    """Cross central difference convolution: an upright and a diagonal cross, mixed by one gate.

    Both crosses, their difference terms and the gate are linear, so they act as one 3 x 3 kernel.
    """

    def __init__(self, width: int):
        super().__init__()
        self.h_conv = _CrossKernel(width, PLUS)
        self.d_conv = _CrossKernel(width, DIAGONAL)
        self.HP_branch = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the filtered map plus `x`."""
        gate = torch.sigmoid(self.HP_branch)
        kernel = gate * self.h_conv() + (1 - gate) * self.d_conv()
        return F.conv2d(x, kernel, padding=1) + x


class EdgeBlock(nn.Module):
    """A convolution, then plain and difference convolutions side by side, added."""

    def __init__(self, width: int):
        super().__init__()
        self.process = conv(width, width)
        self.Res = conv_pair(width)
        self.CDC = CrossDifference(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, as wide as `x`."""
        y = self.process(x)
        out: Tensor = self.Res(y) + self.CDC(y)
        return out


class FeatureExtract(nn.Module):
    """From one image channel to `width` feature channels."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = conv(1, width, 1)
        self.block1 = EdgeBlock(width)
        self.block2 = EdgeBlock(width)

    def forward(self, image: Tensor) -> Tensor:
        """Return B x width x H x W of an image B x 1 x H x W."""
        # Channels last: all of the network then runs a fifth faster on a CPU.
        x = self.conv(image).contiguous(memory_format=torch.channels_last)
        out: Tensor = self.block2(self.block1(x))
        return out


class _InstanceNorm(nn.Module):
    """Affine instance norm.

    torch's group norm loses three digits on channels-last maps (CPU), and its instance norm refuses
    an image of a single pixel.
    """

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        variance = centred.square().mean((2, 3), keepdim=True)
        scale = self.weight[:, None, None] * torch.rsqrt(variance + 1e-5)
        return centred * scale + self.bias[:, None, None]


class _HalfNormConv(nn.Module):
    """Two convolutions with a shortcut; half the channels between them are instance-normalised."""

    def __init__(self, c_in: int, width: int = 16):
        super().__init__()
        self.conv_1 = conv(c_in, width)
        self.norm = _InstanceNorm(width // 2)
        self.conv_2 = conv(width, width)
        self.identity = conv(c_in, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv_1(x).chunk(2, dim=1)
        y = F.leaky_relu(torch.cat([self.norm(first), second], dim=1), 0.1)
        out: Tensor = F.leaky_relu(self.conv_2(y), 0.1) + self.identity(x)
        return out


class _Dense(nn.Module):
    def __init__(self, c_in: int, c_out: int, width: int = 16):
        super().__init__()
        self.conv1 = _HalfNormConv(c_in, width)
        self.conv2 = _HalfNormConv(width, width)
        self.conv3 = conv(c_in + 2 * width, c_out)

    def forward(self, x: Tensor) -> Tensor:
        x1 = F.leaky_relu(self.conv1(x), 0.2)
        x2 = F.leaky_relu(self.conv2(x1), 0.2)
        return F.leaky_relu(self.conv3(torch.cat([x, x1, x2], dim=1)), 0.2)


class LUConv(nn.Module):
    """An invertible 1 x 1 convolution, C to C channels, stored as the factors P, L and U."""

    p: Tensor
    sign_s: Tensor

    def __init__(self, channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels)).Q
        p, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("p", p)
        self.register_buffer("sign_s", upper.diagonal().sign())
        self.lower = nn.Parameter(lower)
        self.log_s = nn.Parameter(upper.diagonal().abs().log())
        self.upper = nn.Parameter(upper.triu(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed channels; only the strict triangles of the factors count."""
        ones = torch.ones_like(self.log_s)
        lower = self.lower.tril(-1) + torch.diag(ones)
        upper = self.upper.triu(1) + torch.diag(self.sign_s * self.log_s.exp())
        return F.conv2d(x, (self.p @ lower @ upper)[:, :, None, None])


class Invertible(nn.Module):
    """An invertible step: mix the channels, then couple the first `split` with the others."""

    def __init__(self, channels: int, split: int):
        super().__init__()
        self.split = [split, channels - split]
        self.invconv = LUConv(channels)
        self.F = _Dense(channels - split, split)
        self.G = _Dense(split, channels - split)
        self.H = _Dense(split, channels - split)

    def forward(self, x: Tensor) -> Tensor:
        """Return the coupled map, as wide as `x`."""
        x1, x2 = self.invconv(x).split(self.split, dim=1)
        y1 = x1 + self.F(x2)
        scale = 0.8 * (2 * torch.sigmoid(self.H(y1)) - 1)
        return torch.cat([y1, x2 * scale.exp() + self.G(y1)], dim=1)


class _ChannelShift(nn.Module):
    """Add one constant per channel, computed from the whole image."""

    def __init__(self, width: int):
        super().__init__()
        self.process = conv_pair(width)
        self.conv_du = squeeze(width, width // 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.process(x).mean((2, 3), keepdim=True)
        out: Tensor = torch.sigmoid(self.conv_du(y)) * y + x
        return out


class Refinement(nn.Module):
    """From `width` feature channels to one image channel, linear at the end."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_in = conv(width, width)
        self.process = nn.Sequential(_ChannelShift(width), _ChannelShift(width))
        self.conv_last = conv(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the image, B x 1 x H x W."""
        out: Tensor = self.conv_last(self.process(self.conv_in(x)))
        return out
