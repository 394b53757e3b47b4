"""The convolution blocks of LKC-FUNet: large dense kernels, large depth-wise kernels, up, down."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from fusion.layers.large_kernel.layer import LargeKernelConv2d
from fusion.networks.lkc_funet.group_norm import GroupNorm

BodyNorm = Literal["gn", "bn", "none"]


def make_norm(kind: BodyNorm, channels: int, groups: int) -> nn.Module:
    """Return GroupNorm ("gn", `groups` groups), BatchNorm ("bn") or the identity ("none")."""
    if kind == "gn":
        return GroupNorm(groups, channels)
    return nn.BatchNorm2d(channels) if kind == "bn" else nn.Identity()


def make_dropout(rate: float) -> nn.Module:
    """Return element-wise dropout, or the identity at rate 0."""
    return nn.Dropout(rate) if rate > 0 else nn.Identity()


def relu_after(norm: nn.Module) -> nn.ReLU:
    """Return a ReLU that writes over its input, unless `norm` passes its own input on."""
    return nn.ReLU(inplace=not isinstance(norm, nn.Identity))


class PointwiseConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of 1 x 1 kernels as the matrix product it is where channels come last.

    With one thread torch takes a path for it that runs at half the speed of a product.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - Conv2d's name
        """Map B x C x H x W to B x O x H x W."""
        if input.device.type != "cpu" or not _channels_last(input):
            return super().forward(input)
        last = nn.functional.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return last.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def conv(c_in: int, c_out: int, kernel: int, bias: bool = True) -> nn.Conv2d:
    """Return a dense stride-1 convolution, kernel x kernel, zero-padded to keep the size."""
    layer = {1: PointwiseConv2d, 3: nn.Conv2d}.get(kernel, LargeKernelConv2d)
    return layer(c_in, c_out, kernel, padding=kernel // 2, bias=bias)


class Block(nn.Module):
    """Norm, ReLU, dropout, then a dense convolution: B x c_in x H x W to B x c_out x H x W."""

    def __init__(self, norm: nn.Module, c_in: int, c_out: int, kernel: int, dropout: float):
        super().__init__()
        self.block = nn.Sequential(
            norm, relu_after(norm), make_dropout(dropout), conv(c_in, c_out, kernel)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, of the input's height and width."""
        out: Tensor = self.block(x)
        return out


class _DenseResidual(nn.Module):
    """Two `Block`s beside a shortcut, which is a 1 x 1 convolution when the width changes."""

    def __init__(
        self, c_in: int, width: int, kernel: int, norm: BodyNorm, groups: tuple[int, int], p: float
    ):
        super().__init__()
        self.block1 = Block(make_norm(norm, c_in, groups[0]), c_in, width, kernel, 0.0)
        self.block2 = Block(make_norm(norm, width, groups[1]), width, width, kernel, p)
        self.res_conv = conv(c_in, width, 1) if c_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block2(self.block1(x)) + self.res_conv(x)
        return out


class LKCBlock(nn.Module):
    """Large-kernel convolution block: two dense kernel x kernel convolutions with a shortcut."""

    def __init__(
        self, c_in: int, width: int, kernel: int, norm: BodyNorm, groups: tuple[int, int], p: float
    ):
        super().__init__()
        self.res_block = _DenseResidual(c_in, width, kernel, norm, groups, p)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x width x H x W."""
        out: Tensor = self.res_block(x)
        return out


class DropPath(nn.Module):
    """Stochastic depth: in training, zero whole samples at `rate` and rescale the others."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (evaluation), or `x` with each sample kept at 1 - rate (training)."""
        if not self.training or self.rate == 0:
            return x
        keep = 1.0 - self.rate
        mask = torch.empty(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * (mask / keep)


def _conv_bn(convolution: nn.Conv2d, norm: nn.Module, relu: bool = False) -> nn.Sequential:
    # Checkpoints call every norm here "bn", whatever its kind.
    parts: list[tuple[str, nn.Module]] = [("conv", convolution), ("bn", norm)]
    return nn.Sequential(OrderedDict([*parts, ("relu", relu_after(norm))] if relu else parts))


class _DepthwiseResidual(nn.Module):
    """The block of RepLKNet (Ding et al., CVPR 2022) without its parallel small kernel."""

    def __init__(self, width: int, kernel: int, norm: BodyNorm, drop_path: float):
        super().__init__()
        inner = width + width // 2
        depthwise = LargeKernelConv2d(
            inner, inner, kernel, padding=kernel // 2, groups=inner, bias=False
        )
        self.pw1 = _conv_bn(conv(width, inner, 1, bias=False), make_norm(norm, inner, 1), relu=True)
        self.pw2 = _conv_bn(conv(inner, width, 1, bias=False), make_norm(norm, width, 1))
        wide_norm = make_norm(norm, inner, 1)
        self.large_kernel = nn.Sequential(OrderedDict(lkb_origin=_conv_bn(depthwise, wide_norm)))
        self.lk_nonlinear = relu_after(wide_norm)
        self.prelkb_bn = make_norm(norm, width, 1)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.large_kernel(self.pw1(self.prelkb_bn(x)))
        out: Tensor = x + self.drop_path(self.pw2(self.lk_nonlinear(wide)))
        return out


class LKDCBlock(nn.Module):
    """Large-kernel depth-wise block, B x width x H x W to the same shape, with stochastic depth."""

    def __init__(self, width: int, kernel: int, norm: BodyNorm, drop_path: float):
        super().__init__()
        self.res_block = _DepthwiseResidual(width, kernel, norm, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the input's shape."""
        out: Tensor = self.res_block(x)
        return out


class Down(nn.Module):
    """Halve height and width by a 3 x 3 convolution of stride 2."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to B x C x H/2 x W/2."""
        out: Tensor = self.conv(x)
        return out


class Up(nn.Module):
    """Double height and width by nearest neighbour, then a 3 x 3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to B x C x 2H x 2W."""
        out: Tensor = self.conv(nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
        return out
