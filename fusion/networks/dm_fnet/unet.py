"""The UNet of DM-FNet: it sees a noised image and how noised it is, and says what it was."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

ENCODER_BLOCKS, DECODER_BLOCKS = 2, 3
SCALES = 5
LONGEST_PERIOD = 1e4


class Swish(nn.Module):
    """x * sigmoid(x), written over its input where no gradient needs that."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return functional.silu(x, inplace=not torch.is_grad_enabled())


class LevelEncoding(nn.Module):
    """Sines and cosines of the noise level times falling frequencies, B x 1 to B x `width`."""

    def __init__(self, width: int):
        super().__init__()
        self.pairs = width // 2

    def forward(self, level: Tensor) -> Tensor:
        """Return all sines, then all cosines."""
        place = torch.arange(self.pairs, device=level.device).to(level.dtype) / self.pairs
        angle = level * torch.exp(-math.log(LONGEST_PERIOD) * place)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Block(nn.Module):
    """Group normalisation, Swish, dropout, then a 3 x 3 convolution."""

    def __init__(self, c_in: int, c_out: int, groups: int, dropout: float = 0.0):
        super().__init__()
        between = nn.Dropout(dropout) if dropout else nn.Identity()
        norm, conv = nn.GroupNorm(groups, c_in), nn.Conv2d(c_in, c_out, 3, padding=1)
        self.block = nn.Sequential(norm, Swish(), between, conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W."""
        out: Tensor = self.block(x)
        return out


class LevelShift(nn.Module):
    """What the embedded noise level adds to every pixel of a channel."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(width, channels))

    def forward(self, embedded: Tensor) -> Tensor:
        """Map B x width to B x channels x 1 x 1."""
        shift: Tensor = self.noise_func(embedded)
        return shift[..., None, None]


class Residual(nn.Module):
    """Two `Block`s with the noise level between them, beside a shortcut."""

    def __init__(self, c_in: int, c_out: int, width: int, groups: int, dropout: float):
        super().__init__()
        self.noise_func = LevelShift(width, c_out)
        self.block1 = Block(c_in, c_out, groups)
        self.block2 = Block(c_out, c_out, groups, dropout)
        self.res_conv = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W; `embedded` is B x width."""
        out: Tensor = self.block2(self.block1(x) + self.noise_func(embedded)) + self.res_conv(x)
        return out


class Attention(nn.Module):
    """Attention of one head over all positions, added to its input."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return B x C x H x W as `x`."""
        query, key, value = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        found = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = x + self.out(found.transpose(1, 2).reshape(x.shape))
        return out


class ResBlock(nn.Module):
    """A `Residual`, with attention behind it or not."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        width: int,
        groups: int,
        dropout: float,
        attention: bool = False,
    ):
        super().__init__()
        self.res_block = Residual(c_in, c_out, width, groups, dropout)
        self.attn = Attention(c_out, groups) if attention else nn.Identity()

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W; `embedded` is B x width."""
        out: Tensor = self.attn(self.res_block(x, embedded))
        return out


class Resize(nn.Module):
    """To half of the size by a 3 x 3 convolution of stride 2, or to twice it, nearest, by one."""

    def __init__(self, channels: int, up: bool):
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1)

    def forward(self, x: Tensor, _embedded: Tensor) -> Tensor:
        """Return B x C x H/2 x W/2, or B x C x 2H x 2W."""
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0) if self.up else x)
        return out


class DenoisingUNet(nn.Module):
    """Five scales of width 1, 1, 1, 1, 2 times `width`; attention in the middle alone.

    `width` is a multiple of `groups`, which normalise. Weights begin orthogonal, biases at zero.
    """

    def __init__(self, width: int, groups: int, dropout: float):
        super().__init__()
        every = (width, groups, dropout)
        widths = [*[width] * (SCALES - 1), 2 * width]
        self.noise_level_mlp = nn.Sequential(
            LevelEncoding(width), nn.Linear(width, 4 * width), Swish(), nn.Linear(4 * width, width)
        )
        self.init_conv = nn.Conv2d(1, width, 3, padding=1)
        self.downs, kept = nn.ModuleList(), [width]
        for n, own in enumerate(widths):
            for _ in range(ENCODER_BLOCKS):
                self.downs.append(ResBlock(kept[-1], own, *every))
                kept.append(own)
            if n < SCALES - 1:
                self.downs.append(Resize(own, up=False))
                kept.append(own)
        deep = widths[-1]
        self.mid = nn.ModuleList(ResBlock(deep, deep, *every, attention=n == 0) for n in range(2))
        self.ups, c_in = nn.ModuleList(), deep
        for n, own in enumerate(reversed(widths)):
            for _ in range(DECODER_BLOCKS):
                self.ups.append(ResBlock(c_in + kept.pop(), own, *every))
                c_in = own
            if n < SCALES - 1:
                self.ups.append(Resize(own, up=True))
        self.final_conv = Block(width, 1, groups)
        orthogonal(self)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Return the clean image, B x 1 x H x W in about [-1, 1], from a noised one.

        `level` is B x 1, the share of the image in it; H and W are multiples of 16.
        """
        *_, last = self._decoded(x, level)
        out: Tensor = self.final_conv(last)
        return out

    def features(self, x: Tensor, level: Tensor) -> list[Tensor]:
        """Return the first decoder block's output at each scale, from H/16 x W/16 to H x W.

        What follows the last of them is not computed: a third of all multiplications.
        """
        found = []
        for n, maps in enumerate(self._decoded(x, level)):
            if n % DECODER_BLOCKS == 0:
                found.append(maps)
            if len(found) == SCALES:
                break
        return found

    def _decoded(self, x: Tensor, level: Tensor) -> Iterator[Tensor]:
        """Yield every decoder block's output, coarse to fine."""
        embedded, x = self.noise_level_mlp(level), self.init_conv(x)
        kept = [x]
        for layer in self.downs:
            x = layer(x, embedded)
            kept.append(x)
        for layer in self.mid:
            x = layer(x, embedded)
        for layer in self.ups:
            if isinstance(layer, Resize):
                x = layer(x, embedded)
            else:
                x = layer(torch.cat([x, kept.pop()], dim=1), embedded)
                yield x


def orthogonal(module: nn.Module) -> None:
    """Let convolutions and linear layers begin orthogonal, with biases of zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
