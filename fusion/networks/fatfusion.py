"""The building blocks of FATFusion: normalised convolution, channel gate, one-token transformer.

Attribute names are those of the published weights. The order of operations is the published one,
too: the network magnifies rounding errors, so that merging batch norms into convolutions, or the
two linear maps of the attention into one, changes the output in the third digit.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS = 4096
"""Tokens computed together: their hidden layer, 4 MB to 16 MB, stays near the processor."""


class Unit(nn.Module):
    """Convolution behind a repeated border, batch norm, leaky ReLU; the size is kept."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return B x c_out x H x W of B x c_in x H x W."""
        border = self.conv.kernel_size[0] // 2
        padded = F.pad(x, [border] * 4, mode="replicate") if border else x
        return F.leaky_relu_(self.bn(self.conv(padded)))


class ChannelGate(nn.Module):
    """One weight in (0, 1) per channel, from the means of all channels."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return B x C x 1 x 1 of B x C x H x W."""
        return torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class OneTokenAttention(nn.Module):
    """Window attention with windows of one token, where the softmax over the window is 1.

    What remains is the projection of the values: queries, keys and the position bias, stored in
    the published weights, have no effect.
    """

    def __init__(self, width: int, heads: int = 8):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(1, heads))
        index = torch.zeros(1, 1, dtype=torch.long)
        self.register_buffer("relative_position_index", index)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the projected values, N x width like the tokens."""
        width = tokens.shape[-1]
        values = F.linear(tokens, self.qkv.weight[-width:], self.qkv.bias[-width:])
        out: Tensor = self.proj(values)
        return out


class _Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = OneTokenAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(width, 4 * width), act=nn.GELU(), fc2=nn.Linear(4 * width, width)
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class TokenLayer(nn.Module):
    """Two transformer blocks on tokens that are C consecutive values in memory.

    As published, the B x C x H x W map is taken for a B x HW x C one without moving a value: a
    token is a run of C pixels of one channel, not one pixel's C channels.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.blocks = nn.Sequential(_Block(width), _Block(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map, of the size of `x`."""
        tokens = x.contiguous().view(-1, self.width)
        return torch.cat([self.blocks(part) for part in torch.split(tokens, TOKENS)]).view(x.shape)
