"""Transformer blocks that attend over channels, shared by CDDFuse and EMMA.

Attention over channels is that of Restormer (CVPR 2022, section 3.1): within a head, a channel is
one token and its pixels are its features, so the map is c x c whatever the image's size. All
statistics run over the whole image; what a crop gives is not a crop of what the image gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.layers.strips import by_strips, empty_channels_last, strips

Padding = Literal["zeros", "reflect"]
NORM_EPSILON = 1e-12


class ChannelNorm(nn.Module):
    """Layer normalisation of each pixel over its channels, B x C x H x W (epsilon 1e-5)."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised tensor, same shape."""
        normed: Tensor = self.body(x.permute(0, 2, 3, 1))
        return normed.permute(0, 3, 1, 2)


def attend(
    x: Tensor, qkv: Callable[[Tensor], Tensor], scale: Tensor, projection: nn.Conv2d
) -> Tensor:
    """Return `x` (B x C x H x W) plus its projected attention over channels.

    `qkv` maps to 3C channels (queries, keys, values) and sees one row on each side; heads are
    consecutive groups of channels, as many as `scale` (heads x 1 x 1) has entries.
    """
    batch, channels, height, width = x.shape
    gram = x.new_zeros(batch, channels, channels)
    lengths = x.new_zeros(2, batch, channels)
    values = empty_channels_last(x, channels)
    for strip in strips(x, halo=1):
        query, key, value = qkv(strip.values)[:, :, strip.inner].chunk(3, dim=1)
        q, k = query.flatten(2), key.flatten(2)
        gram += q @ k.transpose(1, 2)
        lengths += torch.stack([part.square().sum(2) for part in (q, k)])
        values[:, :, strip.rows] = value
    maps = attention_maps(gram, lengths[0].sqrt(), lengths[1].sqrt(), scale)
    # The projection's matrix times the maps is one matrix, so both cost one pass.
    matrices = (projection.weight.flatten(1) @ maps).transpose(1, 2)
    mixed = torch.baddbmm(_pixels(x), _pixels(values), matrices)
    return mixed.view(batch, height, width, channels).permute(0, 3, 1, 2)


def attention_maps(gram: Tensor, q_norm: Tensor, k_norm: Tensor, scale: Tensor) -> Tensor:
    """Return the attention maps of all heads as one block-diagonal matrix, B x C x C.

    `gram` is B x C x C, the products of queries and keys summed over pixels, the norms B x C; a
    head's row is softmax(scale * cosine). Norms divide the small matrix instead of the images.
    """
    rows, columns = (norm.clamp_min(NORM_EPSILON) for norm in (q_norm, k_norm))
    cosine = gram / (rows[:, :, None] * columns[:, None, :])
    per_head = gram.shape[1] // scale.shape[0]
    head = torch.arange(gram.shape[1], device=gram.device) // per_head
    logits = cosine * scale.flatten()[head][:, None]
    return logits.masked_fill(head[:, None] != head, -torch.inf).softmax(dim=-1)


def _pixels(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _pointwise(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 1, bias=False)


class DepthwiseAttention(nn.Module):
    """Restormer's attention over channels (MDTA): q, k, v by a 1 x 1 and a depth-wise 3 x 3."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        triple = 3 * channels
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = _pointwise(channels, triple)
        self.qkv_dwconv = nn.Conv2d(triple, triple, 3, padding=1, groups=triple, bias=False)
        self.project_out = _pointwise(channels, channels)

    def forward(self, x: Tensor, norm: ChannelNorm) -> Tensor:
        """Return `x` plus the attention of ``norm(x)``, B x C x H x W."""

        def qkv(strip: Tensor) -> Tensor:
            out: Tensor = self.qkv_dwconv(self.qkv(norm(strip)))
            return out

        return attend(x, qkv, self.temperature, self.project_out)


class DenseAttention(nn.Module):
    """The same attention with q, k, v by a 1 x 1 and a full 3 x 3 convolution.

    Neither has a bias and the padding is zeros, so both are one 3 x 3 convolution whose kernel is
    their product: a third of the multiplications.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        triple = 3 * channels
        self.scale = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv1 = _pointwise(channels, triple)
        self.qkv2 = nn.Conv2d(triple, triple, 3, padding=1, bias=False)
        self.proj = _pointwise(channels, channels)

    def forward(self, x: Tensor, norm: ChannelNorm) -> Tensor:
        """Return `x` plus the attention of ``norm(x)``, B x C x H x W."""
        kernel = torch.einsum("omhw,mc->ochw", self.qkv2.weight, self.qkv1.weight.flatten(1))

        def qkv(strip: Tensor) -> Tensor:
            return functional.conv2d(norm(strip), kernel, padding=1)

        return attend(x, qkv, self.scale, self.proj)


class GatedFeedForward(nn.Module):
    """1 x 1 to `hidden` channels, grouped 3 x 3, GELU of one half times the other, 1 x 1 back."""

    def __init__(self, channels: int, hidden: int, groups: int, padding_mode: Padding = "zeros"):
        super().__init__()
        self.project_in = _pointwise(channels, hidden)
        self.dwconv = nn.Conv2d(
            hidden, hidden, 3, padding=1, groups=groups, bias=False, padding_mode=padding_mode
        )
        self.project_out = _pointwise(hidden // 2, channels)

    def forward(self, x: Tensor, norm: ChannelNorm) -> Tensor:
        """Return `x` plus the transformed ``norm(x)``, B x C x H x W."""

        def run(strip: Tensor) -> Tensor:
            gate, passed = self.dwconv(self.project_in(norm(strip))).chunk(2, dim=1)
            out: Tensor = strip + self.project_out(functional.gelu(gate) * passed)
            return out

        return by_strips(run, x, halo=1)


class RestormerBlock(nn.Module):
    """Restormer's block: depth-wise attention over channels, then a gated feed-forward part."""

    def __init__(self, channels: int, heads: int = 8):
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.attn = DepthwiseAttention(channels, heads)
        self.ffn = GatedFeedForward(channels, 4 * channels, 4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, B x C x H x W as `x`."""
        out: Tensor = self.ffn(self.attn(x, self.norm1), self.norm2)
        return out


class DenseBlock(nn.Module):
    """The same block with dense attention and a narrower feed-forward part of paired channels.

    It is CDDFuse's base block and EMMA's global block; `padding_mode` is the feed-forward part's.
    """

    def __init__(self, channels: int, heads: int = 8, padding_mode: Padding = "zeros"):
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.attn = DenseAttention(channels, heads)
        self.mlp = GatedFeedForward(channels, 2 * channels, channels, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, B x C x H x W as `x`."""
        out: Tensor = self.mlp(self.attn(x, self.norm1), self.norm2)
        return out
