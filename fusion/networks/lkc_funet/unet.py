"""The network of LKC-FUNet and the switches that shape it."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from fusion.errors import InputError
from fusion.networks.lkc_funet.blocks import (
    Block,
    BodyNorm,
    Down,
    LKCBlock,
    LKDCBlock,
    Up,
    conv,
    make_dropout,
    make_norm,
    relu_after,
)
from fusion.networks.lkc_funet.mpafm import MPAFM, Concatenate, MpafmNorm, MpafmRoles

InitNorm = Literal["in", "bn", "none"]
Joint = Literal["on", "concat"]
TestRange = Literal["symmetric", "unit"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "norm_init": get_args(InitNorm),
    "norm_body": get_args(BodyNorm),
    "mpafm": get_args(Joint),
    "mpafm_roles": get_args(MpafmRoles),
    "mpafm_norm": get_args(MpafmNorm),
    "test_range": get_args(TestRange),
}


@dataclass(frozen=True)
class Design:
    """Every switch of the network; the defaults are the paper's.

    `kernels` are those of full, half and quarter resolution and of the bottleneck.
    """

    kernels: tuple[int, ...] = (15, 7, 5, 5)
    init_kernel: int = 15
    norm_init: InitNorm = "in"
    norm_body: BodyNorm = "gn"
    mpafm: Joint = "on"
    mpafm_roles: MpafmRoles = "enc_dec"
    mpafm_residual: bool = False
    mpafm_norm: MpafmNorm = "bn"
    dropout: float = 0.2
    width: int = 128
    stem: int = 32
    test_range: TestRange = "symmetric"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), _either(allowed))
        four = isinstance(self.kernels, tuple) and len(self.kernels) == 4
        odd = four and all(map(_odd, self.kernels))
        _require(odd, "kernels", self.kernels, "four odd numbers")
        _require(_odd(self.init_kernel), "init_kernel", self.init_kernel, "a positive odd number")
        fits = _whole(self.width) and self.width > 0 and self.width % 8 == 0
        _require(fits, "width", self.width, "a positive multiple of 8")
        _require(_whole(self.stem) and self.stem > 0, "stem", self.stem, "a positive number")
        rate = isinstance(self.dropout, int | float) and 0 <= self.dropout < 1
        _require(rate, "dropout", self.dropout, "a number from 0 to below 1")
        residual = self.mpafm_residual
        _require(isinstance(residual, bool), "mpafm_residual", residual, "true or false")

    def groups(self, channels: int) -> int:
        """Return the GroupNorm groups for `channels`: 32 at the paper's 128, 160 and 256.

        A narrower net keeps the paper's four channels per group at its base width.
        """
        return gcd(self.width // 4, channels)


class FusionUNet(nn.Module):
    """The network alone: B x 2 x H x W (H and W multiples of 4) to B x 1 x H x W, linear."""

    def __init__(self, design: Design):
        super().__init__()
        width, stem, (k1, k2, k3, k_mid) = design.width, design.stem, design.kernels
        self.init_conv = conv(2, stem, 3)
        first = _init_norm(design)
        self.IN_conv = nn.Sequential(
            first,
            relu_after(first),
            make_dropout(design.dropout),
            conv(stem, width, design.init_kernel),
        )
        down = [
            [_dense(design, width, k), _depthwise(design, k), Down(width)] for k in (k1, k2, k3)
        ]
        self.downs = nn.ModuleList([*down[0], *down[1], *down[2][:2]])
        self.mid = nn.Sequential(_depthwise(design, k_mid), _depthwise(design, k_mid))
        self.ups = nn.ModuleList([*_up(design, k3), *_up(design, k2), *_last(design, k1)])
        head_norm = make_norm(design.norm_body, width, design.groups(width))
        self.final_conv = Block(head_norm, width, 1, 3, dropout=0.0)

    def forward(self, pair: Tensor) -> Tensor:
        """Return the fused image, B x 1 x H x W, in the range the network was trained in."""
        stem = self.init_conv(pair)
        x, skips = self.IN_conv(stem), []
        for layer in self.downs:
            x = layer(x)
            if isinstance(layer, LKDCBlock):
                skips.append(x)
        x = self.mid(x)
        for layer in self.ups[:-1]:
            x = layer(x, skips.pop()) if isinstance(layer, MPAFM | Concatenate) else layer(x)
        out: Tensor = self.final_conv(self.ups[-1](torch.cat([x, stem], dim=1)))
        return out


def _init_norm(design: Design) -> nn.Module:
    # One group per channel: instance norm with an affine part and no running statistics.
    kind: BodyNorm = "gn" if design.norm_init == "in" else design.norm_init
    return make_norm(kind, design.stem, design.stem)


def _dense(design: Design, c_in: int, kernel: int) -> LKCBlock:
    groups = design.groups(c_in), design.groups(design.width)
    return LKCBlock(c_in, design.width, kernel, design.norm_body, groups, design.dropout)


def _depthwise(design: Design, kernel: int) -> LKDCBlock:
    return LKDCBlock(design.width, kernel, design.norm_body, design.dropout)


def _joint(design: Design) -> nn.Module:
    if design.mpafm == "concat":
        return Concatenate()
    return MPAFM(design.width, design.mpafm_roles, design.mpafm_residual, design.mpafm_norm)


def _up(design: Design, kernel: int) -> list[nn.Module]:
    dense = _dense(design, 2 * design.width, kernel)
    twice = [_depthwise(design, kernel), _depthwise(design, kernel)]
    return [_joint(design), dense, *twice, Up(design.width)]


def _last(design: Design, kernel: int) -> list[nn.Module]:
    width = design.width
    joined, stemmed = _dense(design, 2 * width, kernel), _dense(design, width + design.stem, kernel)
    return [_joint(design), joined, _depthwise(design, kernel), stemmed]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _odd(value: int) -> bool:
    return _whole(value) and value > 0 and value % 2 == 1


def _either(allowed: tuple[str, ...]) -> str:
    return " or ".join(f'"{value}"' for value in allowed)


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise InputError(f"lkc_funet: {name} is {value!r}, but must be {allowed}; change it.")
