"""The fusion head of DM-FNet: features of both images at several noise levels, to one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.networks.dm_fnet.unet import SCALES, orthogonal

REDUCTION = 8
"""How many times fewer channels the channel attention has inside."""
SPATIAL_KERNEL = 7
SLOPE = 0.2


def two_convs(c_in: int, c_out: int) -> nn.Sequential:
    """Return a 1 x 1 convolution to `c_out` channels and a 3 x 3 one, each with a ReLU."""
    first, second = nn.Conv2d(c_in, c_out, 1), nn.Conv2d(c_out, c_out, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


class StepBlock(nn.Module):
    """One map of `width` channels from those of `steps` noise levels.

    As published the levels' channels are joined before the first convolution; here each level
    meets its own share of the kernel, which is the same without the joined copy.
    """

    def __init__(self, width: int, steps: int):
        super().__init__()
        self.block = two_convs(steps * width, width)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map one B x width x H x W for each level to B x width x H x W."""
        joint = cast(nn.Conv2d, self.block[0])
        parts = joint.weight.chunk(len(maps), dim=1)
        x = functional.conv2d(maps[0], parts[0], joint.bias)
        for one, part in zip(maps[1:], parts[1:], strict=True):
            x = x + functional.conv2d(one, part)
        out: Tensor = self.block[1:](x)
        return out


class ChannelAttention(nn.Module):
    """A number for each channel from its mean, unbounded."""

    def __init__(self, width: int):
        super().__init__()
        inner = max(1, width // REDUCTION)
        parts = nn.Conv2d(width, inner, 1), nn.ReLU(inplace=True), nn.Conv2d(inner, width, 1)
        self.ca = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to B x C x 1 x 1."""
        out: Tensor = self.ca(x.mean(dim=(2, 3), keepdim=True))
        return out


class SpatialAttention(nn.Module):
    """A number for each pixel from mean and maximum over its channels, unbounded."""

    def __init__(self) -> None:
        super().__init__()
        around = SPATIAL_KERNEL // 2
        self.sa = nn.Conv2d(2, 1, SPATIAL_KERNEL, padding=around, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """Map B x C x H x W to B x 1 x H x W; H and W are 4 at least."""
        mean, most = x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
        out: Tensor = self.sa(torch.cat([mean, most], dim=1))
        return out


class PixelAttention(nn.Module):
    """A share for each value from itself and from what both other attentions say of it.

    The published form puts the channels of both in turns and convolves them in groups of two.
    Here each of the group's two kernels goes where its input is: the second one's input is a
    number a channel plus a number a pixel, so that it is the kernel's sum and one convolution of
    a single channel. Same result but for rounding, without the interleaved copy.
    """

    def __init__(self, width: int):
        super().__init__()
        self.pa2 = nn.Conv2d(2 * width, width, 3, groups=width)

    def forward(self, x: Tensor, channel: Tensor, pixel: Tensor) -> Tensor:
        """Return shares in (0, 1), B x C x H x W, of `x`, B x C x 1 x 1, and B x 1 x H x W."""
        of_x, of_rest = self.pa2.weight.chunk(2, dim=1)
        around = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        found = functional.conv2d(around, of_x, self.pa2.bias, groups=x.shape[1])
        around = functional.pad(pixel, (1, 1, 1, 1), mode="reflect")
        found = found + functional.conv2d(around, of_rest)
        found = found + channel * of_rest.sum(dim=(2, 3)).view(1, -1, 1, 1)
        return found.sigmoid()


class Attention(nn.Module):
    """Content-guided attention (DEA-Net): the input times its shares."""

    def __init__(self, width: int):
        super().__init__()
        self.sa, self.ca = SpatialAttention(), ChannelAttention(width)
        self.pa = PixelAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return B x C x H x W as `x`."""
        shares: Tensor = self.pa(x, self.ca(x), self.sa(x))
        return x * shares


class FuseBlock(nn.Module):
    """Both images' maps of a scale and what the coarser scales found, to `c_out` channels.

    `before` is the width of what was found two scales before, where there are so many.
    """

    def __init__(self, width: int, c_out: int, before: int | None):
        super().__init__()
        self.att, self.block = Attention(width), two_convs(width, c_out)
        if before is not None:
            self.block1 = two_convs(before, width)

    def forward(self, first: Tensor, second: Tensor, found: Sequence[Tensor]) -> Tensor:
        """Map two B x width x H x W to B x c_out x H x W; `found` are upsampled, coarse to fine."""
        both = first + second
        weight = self.att(both)
        fused = weight * first + (1 - weight) * second + both
        if found:
            fused = fused + found[-1]
        if len(found) > 1:
            fused = fused + doubled(self.block1(found[-2]))
        out: Tensor = self.block(fused)
        return out


class Output(nn.Module):
    """A 3 x 3 convolution; its attribute has the published name."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W."""
        out: Tensor = self.conv(x)
        return out


class FusionHead(nn.Module):
    """Fuses what `DenoisingUNet.features` finds at `steps` noise levels; `width` is the UNet's."""

    def __init__(self, width: int, steps: int):
        super().__init__()
        widths = [2 * width, *[width] * (SCALES - 1)]
        outs = [*widths[1:], width]
        self.decoder = nn.ModuleList()
        for n, (own, out) in enumerate(zip(widths, outs, strict=True)):
            self.decoder.append(StepBlock(own, steps))
            self.decoder.append(FuseBlock(own, out, outs[n - 2] if n > 1 else None))
        self.rgb_decode2 = Output(width, width // 2)
        self.rgb_decode1 = Output(width // 2, 1)
        orthogonal(self)

    def forward(
        self, first: Sequence[Sequence[Tensor]], second: Sequence[Sequence[Tensor]]
    ) -> Tensor:
        """Return the fused luminance in (-1, 1), B x 1 x H x W.

        Of each image, for each level, the UNet's five features; H and W are multiples of 16, and
        64 at least. The images' order matters.
        """
        found: list[Tensor] = []
        for n in range(SCALES):
            step, fuse = self.decoder[2 * n], self.decoder[2 * n + 1]
            x, y = (step([maps[n] for maps in image]) for image in (first, second))
            fused = fuse(x, y, found)
            found.append(doubled(fused) if n < SCALES - 1 else fused)
        out = functional.leaky_relu(self.rgb_decode2(found[-1]), SLOPE)
        return torch.tanh(self.rgb_decode1(out))


def doubled(x: Tensor) -> Tensor:
    """Return twice the height and width, bilinear, corners on corners."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
