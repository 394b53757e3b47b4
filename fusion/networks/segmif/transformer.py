"""The Mix Transformer, SegFormer's encoder: attention over shortened sequences, four scales.

Source: Xie et al., SegFormer, NeurIPS 2021, https://arxiv.org/abs/2105.15203, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Stage:
    """One scale: its width, attention heads, number of blocks and side of the reduced squares."""

    width: int
    heads: int
    depth: int
    reduction: int


MIT_B3 = (Stage(64, 1, 3, 8), Stage(128, 2, 4, 4), Stage(320, 5, 18, 2), Stage(512, 8, 3, 1))


class MixTransformer(nn.Module):
    """The first stages of a Mix Transformer, at 1/4, 1/8, 1/16 and 1/32 of the image's size."""

    def __init__(self, stages: Sequence[Stage] = MIT_B3):
        super().__init__()
        self.depth = len(stages)
        before = 3
        for number, stage in enumerate(stages, start=1):
            kernel, stride = (7, 4) if number == 1 else (3, 2)
            embed = PatchEmbed(before, stage.width, kernel, stride)
            self.add_module(f"patch_embed{number}", embed)
            blocks = nn.ModuleList([Block(stage) for _ in range(stage.depth)])
            self.add_module(f"block{number}", blocks)
            self.add_module(f"norm{number}", nn.LayerNorm(stage.width, eps=1e-6))
            before = stage.width

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map per stage, B x width x h x w, of B x 3 x H x W images, H and W >= 32."""
        maps = []
        for number in range(1, self.depth + 1):
            x, size = self.get_submodule(f"patch_embed{number}")(images)
            for block in self.get_submodule(f"block{number}").children():
                x = block(x, size)
            images = as_map(self.get_submodule(f"norm{number}")(x), size)
            maps.append(images)
        return maps


class PatchEmbed(nn.Module):
    """Overlapping patches: a strided convolution, and the norm of the tokens it gives."""

    def __init__(self, c_in: int, width: int, kernel: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(c_in, width, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens, B x hw x width, of B x c_in x H x W, and (h, w)."""
        maps = self.proj(images)
        return self.norm(as_tokens(maps)), (maps.shape[2], maps.shape[3])


class Block(nn.Module):
    """Attention and feed-forward layer, each normalised first and added to its input."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.norm1 = nn.LayerNorm(stage.width, eps=1e-6)
        self.attn = ReducedAttention(stage)
        self.norm2 = nn.LayerNorm(stage.width, eps=1e-6)
        self.mlp = MixFeedForward(stage.width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map the tokens of a map of `size`, B x hw x width, to the same shape."""
        x = x + self.attn(self.norm1(x), size)
        out: Tensor = x + self.mlp(self.norm2(x), size)
        return out


class ReducedAttention(nn.Module):
    """Multi-head attention of all tokens to the means of squares, learned, of the map."""

    def __init__(self, stage: Stage):
        super().__init__()
        width, side = stage.width, stage.reduction
        self.heads, self.reduced = stage.heads, side > 1
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if self.reduced:
            self.sr = nn.Conv2d(width, width, side, side)
            self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map the tokens of a map of `size`, B x hw x width, to the same shape."""
        seen = self.norm(as_tokens(self.sr(as_map(x, size)))) if self.reduced else x
        query = self.q(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.kv(seen).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class MixFeedForward(nn.Module):
    """Two linear layers of four times the width, with a 3 x 3 convolution per channel between."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        depthwise = nn.Conv2d(4 * width, 4 * width, 3, 1, 1, groups=4 * width)
        self.dwconv = nn.ModuleDict({"dwconv": depthwise})
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map the tokens of a map of `size`, B x hw x width, to the same shape."""
        x = as_tokens(self.dwconv["dwconv"](as_map(self.fc1(x), size)))
        out: Tensor = self.fc2(functional.gelu(x))
        return out


def as_tokens(maps: Tensor) -> Tensor:
    """Return B x C x H x W as B x HW x C."""
    return maps.flatten(2).transpose(1, 2)


def as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Return B x HW x C as B x C x H x W, `size` being (H, W)."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *size)
