"""The unfolded sparse coding of LRRNet, computed in strips of pixels.

A 3 x 3 convolution between one channel and 256 is a product with a 256 x 9 matrix, once the nine
neighbours of every pixel are laid side by side; torch's own convolutions are several times slower
at such shapes. Only the one-channel image between two products needs its neighbours, so the 256
channels are kept as strips of pixels that stay in the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CODES = 256
STRIP = 8192

Codes = list[Tensor]
"""The codes of one image, 256 x pixels, cut along the pixels."""


class ReflectConv(nn.Module):
    """A 3 x 3 convolution with bias over an image that is reflected at its borders."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv2d = nn.Conv2d(c_in, c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x c_in x H x W to B x c_out x H x W."""
        out: Tensor = self.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"))
        return out

    @property
    def bias(self) -> Tensor:
        """Return the convolution's bias, which it always has."""
        assert self.conv2d.bias is not None
        return self.conv2d.bias

    def spread(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return factors, c_out x 10 and 10 x pixels, of the product that convolves H x W."""
        weight = self.conv2d.weight.flatten(1)
        neighbours = torch.stack(_shifts(image.expand(9, -1, -1))).flatten(1)
        ones = torch.ones_like(neighbours[:1])
        return torch.cat([weight, self.bias[:, None]], dim=1), torch.cat([neighbours, ones])

    def gather(self, codes: Codes, size: tuple[int, int]) -> Tensor:
        """Convolve the codes of an image of `size` to one channel, H x W."""
        weight = self.conv2d.weight.flatten(2)[0].T.contiguous()
        parts = torch.cat([weight @ strip for strip in codes], dim=1).reshape(9, *size)
        total = self.bias.expand(size)
        for part in _shifts(parts):
            total = total + part
        return total


class LRRBlock(nn.Module):
    """One step of the learned coding: what the codes leave unexplained is coded again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_Wdz = ReflectConv(CODES, 1)
        self.conv_Wdtz = ReflectConv(1, CODES)


class Encoder(nn.Module):
    """The low-rank (first 128) and sparse (last 128) codes of one image."""

    def __init__(self) -> None:
        super().__init__()
        self.lamj = nn.Parameter(torch.rand(1, CODES))
        self.lamz = nn.Parameter(torch.rand(1, 1))
        self.conv_W00 = ReflectConv(1, CODES)
        self.lrrblock0, self.lrrblock1 = LRRBlock(), LRRBlock()
        self.lrrblock2, self.lrrblock3 = LRRBlock(), LRRBlock()

    def forward(self, image: Tensor) -> Codes:
        """Return the codes of one image, H x W; not differentiable in `lamz`."""
        size = (image.shape[0], image.shape[1])
        limit, keep = self.lamj.T, self.lamz.detach().item()
        matrix, near = self.conv_W00.spread(image)
        codes = [soft_threshold(matrix @ part, limit) for part in torch.split(near, STRIP, dim=1)]
        for block in (self.lrrblock0, self.lrrblock1, self.lrrblock2, self.lrrblock3):
            matrix, near = block.conv_Wdtz.spread(image - block.conv_Wdz.gather(codes, size))
            for n, part in enumerate(torch.split(near, STRIP, dim=1)):
                update = torch.addmm(codes[n], matrix, part, beta=keep)
                codes[n] = soft_threshold(update, limit)
        return codes


class Decoder(nn.Module):
    """From the codes of both images to the fused one, without any activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_ReZx, self.conv_ReUx = ReflectConv(CODES // 2, 1), ReflectConv(CODES // 2, 1)
        self.conv_ReZy, self.conv_ReUy = ReflectConv(CODES // 2, 1), ReflectConv(CODES // 2, 1)
        self.conv_ReL = ReflectConv(2, 1)
        self.conv_ReH = ReflectConv(2, 1)

    def infrared(self, codes: Codes, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the low-rank and the sparse image of the infrared codes, H x W each."""
        return _parts(codes, size, self.conv_ReZx, self.conv_ReUx)

    def visible(self, codes: Codes, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the low-rank and the sparse image of the visible codes, H x W each."""
        return _parts(codes, size, self.conv_ReZy, self.conv_ReUy)

    def forward(self, low: Tensor, sparse: Tensor) -> Tensor:
        """Fuse low-rank and sparse parts, each 2 x H x W (infrared, visible), to 1 x H x W."""
        fused: Tensor = self.conv_ReL(low[None]) + self.conv_ReH(sparse[None])
        return fused[0]


def soft_threshold(x: Tensor, limit: Tensor) -> Tensor:
    """Return sign(x) max(|x| - limit, 0); a negative limit makes magnitudes grow."""
    return x.abs().sub_(limit).clamp_(min=0).mul_(x.sign())


def _parts(
    codes: Codes, size: tuple[int, int], low: ReflectConv, sparse: ReflectConv
) -> tuple[Tensor, Tensor]:
    first, second = zip(*(strip.chunk(2) for strip in codes), strict=True)
    return low.gather(list(first), size), sparse.gather(list(second), size)


def _shifts(maps: Tensor) -> list[Tensor]:
    """Return nine H x W views: map n of 9 x H x W at the n-th of its nine neighbours."""
    height, width = maps.shape[-2:]
    around = functional.pad(maps, (1, 1, 1, 1), mode="reflect")
    starts = [(n, *divmod(n, 3)) for n in range(9)]
    return [around[n, i : i + height, j : j + width] for n, i, j in starts]
