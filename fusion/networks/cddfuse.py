"""The sub-networks of CDDFuse: one encoder for both images, two fusers, one decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusion.layers.restormer import DenseBlock, RestormerBlock
from fusion.layers.strips import by_strips

WIDTH = 64
BLOCKS = 4


class Embedding(nn.Module):
    """A 3 x 3 convolution from one channel to `WIDTH`, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, WIDTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, B x WIDTH x H x W, of B x 1 x H x W."""
        # Channels last from here on: normalisation and 1 x 1 convolutions then copy nothing.
        out: Tensor = self.proj(x)
        return out.contiguous(memory_format=torch.channels_last)


class Bottleneck(nn.Module):
    """MobileNetV2's inverted bottleneck on half the width, without its skip."""

    def __init__(self) -> None:
        super().__init__()
        half = WIDTH // 2
        self.bottleneckBlock = nn.Sequential(
            nn.Conv2d(half, WIDTH, 1, bias=False),
            nn.ReLU6(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(WIDTH, WIDTH, 3, groups=WIDTH, bias=False),
            nn.ReLU6(),
            nn.Conv2d(WIDTH, half, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return B x WIDTH/2 x H x W as `x`; H and W must be at least 2."""
        out: Tensor = self.bottleneckBlock(x)
        return out


class DetailNode(nn.Module):
    """An affine coupling of two halves of the features after a 1 x 1 convolution over both."""

    def __init__(self) -> None:
        super().__init__()
        self.theta_phi, self.theta_rho, self.theta_eta = (Bottleneck() for _ in range(3))
        self.shffleconv = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the coupled halves, B x WIDTH x H x W as `x`."""
        first, second = self.shffleconv(x).chunk(2, dim=1)
        second = second + self.theta_phi(first)
        first = first * self.theta_rho(second).exp() + self.theta_eta(second)
        return torch.cat([first, second], dim=1)


class DetailStack(nn.Module):
    """`nodes` couplings in sequence."""

    def __init__(self, nodes: int):
        super().__init__()
        self.net = nn.Sequential(*(DetailNode() for _ in range(nodes)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the detail features, B x WIDTH x H x W as `x`."""
        for node in self.net:
            x = by_strips(node, x, halo=2)  # two 3 x 3 convolutions follow one another
        return x


class Encoder(nn.Module):
    """One image to its base features (shared by both sensors) and its details (each one's own)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = Embedding()
        self.encoder_level1 = nn.Sequential(*(RestormerBlock(WIDTH) for _ in range(BLOCKS)))
        self.baseFeature = DenseBlock(WIDTH)
        self.detailFeature = DetailStack(3)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return base, detail and shallow features, B x WIDTH x H x W, of B x 1 x H x W."""
        shallow = self.encoder_level1(self.patch_embed(image))
        return self.baseFeature(shallow), self.detailFeature(shallow), shallow


class Decoder(nn.Module):
    """Base and detail features to an image, added to a given one before the sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce_channel = nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False)
        self.encoder_level2 = nn.Sequential(*(RestormerBlock(WIDTH) for _ in range(BLOCKS)))
        self.output = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH // 2, 3, padding=1, bias=False),
            nn.LeakyReLU(),
            nn.Conv2d(WIDTH // 2, 1, 3, padding=1, bias=False),
        )

    def forward(self, skip: Tensor | None, base: Tensor, detail: Tensor) -> Tensor:
        """Return the image, B x 1 x H x W in (0, 1); `skip` is such an image or None."""
        joined = self.reduce_channel(torch.cat([base, detail], dim=1))
        image = by_strips(self.output, self.encoder_level2(joined), halo=2)
        return torch.sigmoid(image if skip is None else image + skip)
