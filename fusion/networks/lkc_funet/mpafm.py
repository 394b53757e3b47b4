"""MPAFM, the attention block in which LKC-FUNet joins encoder and decoder features."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fusion.networks.lkc_funet.blocks import conv

MpafmNorm = Literal["bn", "none"]
MpafmRoles = Literal["enc_dec", "dec_enc"]


def _norm(kind: MpafmNorm, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if kind == "bn" else nn.Identity()


class _GlobalAttention(nn.Module):
    """One spatial map, B x 1 x H x W, from the mean and the maximum over channels."""

    def __init__(self, norm: MpafmNorm):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(2, 1, 1), _norm(norm, 1))

    def forward(self, q: Tensor) -> Tensor:
        pooled = torch.cat([q.mean(1, keepdim=True), q.amax(1, keepdim=True)], dim=1)
        out: Tensor = self.proj(pooled)
        return out


class _LocalAttention(nn.Module):
    """One value per channel, B x C x 1 x 1, from the average over the image."""

    def __init__(self, width: int):
        super().__init__()
        squeezed = width // 8
        self.ca = nn.Sequential(
            nn.Conv2d(width, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, width, 1)
        )

    def forward(self, p: Tensor) -> Tensor:
        out: Tensor = self.ca(p.mean((2, 3), keepdim=True))
        return out


class _MultiAttention(nn.Module):
    def __init__(self, width: int, norm: MpafmNorm):
        super().__init__()
        self.local = _LocalAttention(width)
        self.global_ = _GlobalAttention(norm)
        self.bn = _norm(norm, width)

    def forward(self, p: Tensor, q: Tensor) -> Tensor:
        out: Tensor = self.bn(self.local(p) + self.global_(q))
        return out


class MPAFM(nn.Module):
    """Join decoder and encoder features, both B x C x H x W, into B x 2C x H x W.

    `roles` names the feature that takes the channel path first and the spatial path second:
    "enc_dec" is the paper's order, "dec_enc" the released code's. `residual` adds each feature
    to its weighted self, as the released code does and the paper's Eq. 2-3 do not.
    """

    def __init__(self, width: int, roles: MpafmRoles, residual: bool, norm: MpafmNorm):
        super().__init__()
        self.roles, self.residual = roles, residual
        self.multi = _MultiAttention(width, norm)
        self.selection = conv(width, 2, 1)
        self.proj = conv(width, width, 1)
        self.bn = _norm(norm, width)
        self.conv_block = nn.Sequential(conv(width, 2 * width, 1))

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        """Return the joined features, B x 2C x H x W."""
        p, q = (encoder, decoder) if self.roles == "enc_dec" else (decoder, encoder)
        mixed = self._cross_gate(*self._weighted(p, q))
        out: Tensor = self.conv_block(torch.sigmoid(self.bn(self.proj(mixed))) * p)
        return out

    def _weighted(self, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.selection(self.multi(p, q)).softmax(dim=1).split(1, dim=1)
        if self.residual:
            return first * p + p, second * q + q
        return first * p, second * q

    @staticmethod
    def _cross_gate(p: Tensor, q: Tensor) -> Tensor:
        return torch.sigmoid(q) * p + torch.sigmoid(p) * q


class Concatenate(nn.Module):
    """The ablation without MPAFM: decoder and encoder features side by side, B x 2C x H x W."""

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        """Return [decoder ; encoder] along the channels."""
        return torch.cat([decoder, encoder], dim=1)
