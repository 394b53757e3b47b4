"""The blocks of SegMIF: dilated dense convolutions, the interaction of two images, a prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.layers.framing import stretch
from fusion.networks.segmif.transformer import as_map, as_tokens

WIDTH, HEADS = 64, 8


class DilatedDenseBlock(nn.Module):
    """Five dilated 3 x 3 convolutions, each seeing all before it, joined and added to the input."""

    def __init__(self) -> None:
        super().__init__()
        for j in range(5):
            layer = nn.Conv2d(WIDTH + 32 * j, 32, 3, padding=2, dilation=2)
            self.add_module(f"Dcov{j + 1}", layer)
        self.conv = nn.Conv2d(WIDTH + 5 * 32, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x 64 x H x W to the same shape."""
        seen = x
        for j in range(5):
            found = self.get_submodule(f"Dcov{j + 1}")(seen)
            seen = torch.cat([seen, functional.relu(found, inplace=True)], dim=1)
        return x + functional.relu(self.conv(seen), inplace=True)


class Interaction(nn.Module):
    """Two images and a conditioning map exchange features through 8 x 8 context matrices."""

    def __init__(self) -> None:
        super().__init__()
        for n in (1, 2, 3):
            self.add_module(f"channel_proj{n}", nn.Linear(WIDTH, 2 * WIDTH))
        self.cross_attn = nn.ModuleDict({"kv3": _keys_and_values()})
        self.cross_attn2 = nn.ModuleDict({f"kv{n}": _keys_and_values() for n in (1, 2)})
        for n in (1, 2):
            self.add_module(f"end_proj{n}", nn.Linear(2 * WIDTH, WIDTH))
            self.add_module(f"norm{n}", nn.LayerNorm(WIDTH, eps=1e-5))

    def forward(self, first: Tensor, second: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return both images' features after exchange; all are B x 64 x H x W."""
        size = (first.shape[2], first.shape[3])
        query, shared = self._project(3, as_tokens(condition))
        context = context_matrix(self.cross_attn["kv3"](shared))
        one = self._exchange(1, as_tokens(first), query, context)
        two = self._exchange(2, as_tokens(second), query, context)
        return as_map(one, size), as_map(two, size)

    def _project(self, n: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        both = functional.relu(self.get_submodule(f"channel_proj{n}")(tokens))
        return both[..., :WIDTH], both[..., WIDTH:]

    def _exchange(self, n: int, tokens: Tensor, query: Tensor, context: Tensor) -> Tensor:
        own, asking = self._project(n, tokens)
        own_context = context_matrix(self.cross_attn2[f"kv{n}"](own))
        joined = torch.cat([query @ own_context, asking @ context], dim=-1)
        out: Tensor = self.get_submodule(f"end_proj{n}")(joined)
        normed: Tensor = self.get_submodule(f"norm{n}")(tokens + out)
        return normed


class FusionPart(nn.Module):
    """The holder that the published weights name ``cross`` within ``ffm``."""

    def __init__(self) -> None:
        super().__init__()
        self.cross = Interaction()

    def forward(self, first: Tensor, second: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `Interaction` does."""
        one, two = self.cross(first, second, condition)
        return one, two


def context_matrix(keys_values: Tensor) -> Tensor:
    """Return the block-diagonal B x 64 x 64 contexts of keys and values, B x N x 128.

    Each head's 8 x 8 block is softmax over the key features of K^T V / sqrt(8). Kept as one
    matrix, since a product with zeros in it is faster than eight small ones.
    """
    keys, values = keys_values[..., :WIDTH], keys_values[..., WIDTH:]
    side = WIDTH // HEADS
    scores = (keys.transpose(1, 2) @ values) * side**-0.5
    head = torch.arange(WIDTH, device=scores.device) // side
    foreign = head[:, None] != head[None, :]
    contexts: Tensor = scores.masked_fill(foreign, -torch.inf).softmax(dim=-2)
    return contexts


def saliency_mean(infrared: Tensor, visible: Tensor) -> Tensor:
    """Return the mean of two B x 1 x H x W images in [0, 1], weighted by visual saliency.

    The visible image weighs 0.5 + (its saliency - the infrared one's) / 2, as in Ma et al.,
    Infrared Physics and Technology 82 (2017), without the smoothing of their two-scale split.
    """
    weight = 0.5 + (saliency(visible) - saliency(infrared)) / 2
    return weight * visible + (1 - weight) * infrared


def saliency(images: Tensor) -> Tensor:
    """Return each pixel's summed distance in gray level to all others, stretched to [0, 1]."""
    levels = (255 * images).round().long()
    gray = torch.arange(256, device=images.device)
    distance = (gray[:, None] - gray[None, :]).abs().double()
    counts = (torch.bincount(image.flatten(), minlength=256).double() for image in levels)
    sums = [(distance @ n)[image] for n, image in zip(counts, levels, strict=True)]
    return stretch(torch.stack(sums)).to(images.dtype)


def _keys_and_values() -> nn.Linear:
    return nn.Linear(WIDTH, 2 * WIDTH, bias=False)
