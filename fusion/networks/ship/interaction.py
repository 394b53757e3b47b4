"""The interactions of SHIP: products of both images' features, repeated to a high order.

All maps are B x C x H x W and keep their height and width. Attribute names are those of the
published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.networks.ship.blocks import Invertible, conv, conv_pair, squeeze


class _Affine(nn.Module):
    """The scale and shift of a norm, under the names that the published weights give them."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))


class _PixelNorm(nn.Module):
    """Layer norm of each pixel over its channels."""

    def __init__(self, width: int):
        super().__init__()
        self.body = _Affine(width)

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        y = F.layer_norm(y, y.shape[-1:], self.body.weight, self.body.bias)
        return y.permute(0, 3, 1, 2)


def circular_convolution(x: Tensor, y: Tensor) -> Tensor:
    """Return the circular convolution of two B x C x H x W maps, channel by channel."""
    spectrum = torch.fft.rfft2(x) * torch.fft.rfft2(y)
    product: Tensor = torch.fft.irfft2(spectrum, s=x.shape[-2:])
    return product


class SpatialInteraction(nn.Module):
    """Multiply the visible features by ever deeper infrared ones, pixel by pixel."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2, self.norm3, self.norm4 = (_PixelNorm(width) for _ in range(4))
        self.reflashFused1, self.reflashInfrared1 = conv_pair(width), conv_pair(width)
        self.reflashFused2, self.reflashInfrared2 = conv_pair(width), conv_pair(width)
        self.reflashFused3, self.reflashInfrared3 = conv_pair(width), conv_pair(width)

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new visible and infrared features."""
        fused = self.norm1(circular_convolution(visible, infrared)) * infrared
        for norm, refresh_fused, refresh_infrared in (
            (self.norm2, self.reflashFused1, self.reflashInfrared1),
            (self.norm3, self.reflashFused2, self.reflashInfrared2),
            (self.norm4, self.reflashFused3, self.reflashInfrared3),
        ):
            infrared = refresh_infrared(infrared)
            fused = norm(refresh_fused(fused)) * infrared
        return fused + visible, infrared


class ChannelInteraction(nn.Module):
    """Weight the channels of both images by attentions of attentions, then merge the two."""

    def __init__(self, width: int):
        super().__init__()
        both = 2 * width
        self.chaAtten = squeeze(both, width)
        self.reflashChaAtten1, self.reflashFused1 = squeeze(both, width), conv_pair(both)
        self.reflashChaAtten2, self.reflashFused2 = squeeze(both, width), conv_pair(both)
        self.reflashChaAtten3, self.reflashFused3 = squeeze(both, width), conv_pair(both)
        self.postprocess = nn.Sequential(Invertible(both, width), conv(both, width, 1))

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new visible features and the infrared ones unchanged."""
        fused = torch.cat([visible, infrared], dim=1)
        weights = self.chaAtten(fused.mean((2, 3), keepdim=True)).softmax(dim=1)
        fused = fused * weights
        for refresh_weights, refresh_fused in (
            (self.reflashChaAtten1, self.reflashFused1),
            (self.reflashChaAtten2, self.reflashFused2),
            (self.reflashChaAtten3, self.reflashFused3),
        ):
            weights = refresh_weights(weights).softmax(dim=1)
            fused = refresh_fused(fused) * weights
        return self.postprocess(fused) + visible, infrared


class Interaction(nn.Module):
    """A spatial interaction followed by one of channels."""

    def __init__(self, width: int):
        super().__init__()
        self.spatial = SpatialInteraction(width)
        self.channel = ChannelInteraction(width)

    def forward(self, visible: Tensor, infrared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new visible and infrared features."""
        new: tuple[Tensor, Tensor] = self.channel(*self.spatial(visible, infrared))
        return new
