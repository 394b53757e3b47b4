"""Local operations row strip by row strip: a fraction of the memory, and twice the speed.

The widest intermediate tensor of a block on a 640 x 480 image takes 300 MB. In strips it stays in
the processor's cache, and the allocator reuses one piece of memory instead of asking the system
for fresh pages every time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

STRIP_VALUES = 2**20
"""Values of the input tensor that one strip holds at most (one row at least)."""


class Strip(NamedTuple):
    """Some rows of a tensor: `values` is they and their halo, `inner` they alone within it."""

    rows: slice
    values: Tensor
    inner: slice


def strips(x: Tensor, halo: int) -> Iterator[Strip]:
    """Cut B x C x H x W into strips of rows with up to `halo` rows more above and below.

    An operation whose output row depends on `halo` input rows on each side gives the same for a
    strip's inner rows as for the whole, also at the image's border, where padding stays its own.
    """
    batch, channels, height, width = x.shape
    step = max(1, STRIP_VALUES // (batch * channels * width))
    for top in range(0, height, step):
        bottom, first = min(top + step, height), max(top - halo, 0)
        inner = slice(top - first, bottom - first)
        yield Strip(slice(top, bottom), x[:, :, first : bottom + halo], inner)


def by_strips(function: Callable[[Tensor], Tensor], x: Tensor, halo: int) -> Tensor:
    """Return ``function(x)``, B x D x H x W channels last, computed in strips of `x`.

    An output row of `function` must depend on at most `halo` input rows on each side.
    """
    out: Tensor | None = None
    for strip in strips(x, halo):
        part = function(strip.values)[:, :, strip.inner]
        if out is None:
            out = empty_channels_last(x, part.shape[1])
        out[:, :, strip.rows] = part
    assert out is not None, "a tensor without rows"
    return out


def empty_channels_last(x: Tensor, channels: int) -> Tensor:
    """Return an unset tensor of the size and type of `x` with `channels` channels."""
    shape = (x.shape[0], channels, *x.shape[-2:])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
