"""Published networks whose arithmetic we rearranged, beside the literal form, in one run.

    python -m benchmarks.direct_forms [--repeats N] [NAME ...]

Only the rearranged operations are replaced, each by what its description says: GeSeNet's dense and
sparse parts convolved one after the other, SegMIF's contexts as eight small matrices, FATFusion's
attention with queries, keys and softmax over all tokens at once, DM-FNet's UNet computed to its
end, its noise levels' channels joined and those of its pixel attention put in turns. The other
methods of benchmarks.methods are either measured there against a direct form (cddfuse, emma,
lrrnet, ship), or are their own: dcinn, ifcnn, mmdrfuse, seafusion and tardal are written as they
are described.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import Row, interleaved, table
from fusion import load_method
from fusion.networks import fatfusion, gesenet
from fusion.networks.dm_fnet import head as dm_head
from fusion.networks.dm_fnet import unet as dm_unet
from fusion.networks.segmif import blocks as segmif

THREADS, SIZE = 2, (480, 640)
SIZES = {"dm_fnet": (256, 256)}
"""Of a network that would take minutes at `SIZE`."""
HEADS, SIDE = 8, 8


def apart(x: Tensor, weight: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
    """GeSeNet: mask the features, then convolve them, twice."""
    parts = (part.reshape(1, -1, 1, 1) for part in kind.unbind(-1))
    dense, sparse = (functional.conv2d(x * part, weight, padding=1) for part in parts)
    return dense, sparse


def context_matrices(keys_values: Tensor) -> Tensor:
    """SegMIF: one 8 x 8 matrix a head."""
    keys, values = (_heads(part) for part in keys_values.chunk(2, dim=-1))
    scores = (keys.transpose(-2, -1) @ values) * SIDE**-0.5
    return scores.softmax(dim=-2)


def exchange(self: Any, n: int, tokens: Tensor, query: Tensor, context: Tensor) -> Tensor:
    """SegMIF: each head's queries times its own matrix."""
    own, asking = self._project(n, tokens)
    own_context = context_matrices(self.cross_attn2[f"kv{n}"](own))
    found = [_joined(_heads(q) @ c) for q, c in ((query, own_context), (asking, context))]
    out = self.get_submodule(f"end_proj{n}")(torch.cat(found, dim=-1))
    normed: Tensor = self.get_submodule(f"norm{n}")(tokens + out)
    return normed


def _heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (HEADS, SIDE)).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(-2)


def attention(self: Any, tokens: Tensor) -> Tensor:
    """FATFusion: windows of one token, with queries, keys, bias and softmax as published."""
    count, width = tokens.shape
    heads = self.relative_position_bias_table.shape[-1]
    split = self.qkv(tokens).view(count, 1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    query, key, values = split
    bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
    scores = query @ key.transpose(-2, -1) * (width // heads) ** -0.5 + bias.view(1, heads, 1, 1)
    out: Tensor = self.proj((scores.softmax(-1) @ values).transpose(1, 2).reshape(count, width))
    return out


def token_layer(self: Any, x: Tensor) -> Tensor:
    """FATFusion: all tokens at once."""
    out: Tensor = self.blocks(x.contiguous().view(-1, self.width)).view(x.shape)
    return out


def joined_levels(self: Any, maps: Sequence[Tensor]) -> Tensor:
    """DM-FNet: all levels' channels together before the first convolution."""
    out: Tensor = self.block(torch.cat(list(maps), dim=1))
    return out


def every_map(self: Any, x: Tensor, level: Tensor) -> list[Tensor]:
    """DM-FNet: all of the UNet, of whose 15 decoder maps every third is kept."""
    maps = list(self._decoded(x, level))
    self.final_conv(maps[-1])
    return maps[::3]


def in_turns(self: Any, x: Tensor, channel: Tensor, pixel: Tensor) -> Tensor:
    """DM-FNet: the channels of both inputs in turns, convolved in groups of two."""
    turns = torch.stack([x, channel + pixel], dim=2).flatten(1, 2)
    around = functional.pad(turns, (1, 1, 1, 1), mode="reflect")
    layer = self.pa2
    return functional.conv2d(around, layer.weight, layer.bias, groups=layer.groups).sigmoid()


PATCHES: dict[str, tuple[tuple[Any, str, Callable[..., Any]], ...]] = {
    "gesenet": ((gesenet, "_apart", apart),),
    "segmif": (
        (segmif, "context_matrix", context_matrices),
        (segmif.Interaction, "_exchange", exchange),
    ),
    "fatfusion": (
        (fatfusion.OneTokenAttention, "forward", attention),
        (fatfusion.TokenLayer, "forward", token_layer),
    ),
    "dm_fnet": (
        (dm_unet.DenoisingUNet, "features", every_map),
        (dm_head.StepBlock, "forward", joined_levels),
        (dm_head.PixelAttention, "forward", in_turns),
    ),
}


def compare(name: str, repeats: int) -> Row:
    """Time both forms of one network, after checking that they agree."""
    torch.manual_seed(0)
    method = load_method(name)
    height, width = SIZES.get(name, SIZE)
    pair = torch.rand(2, 1, 1, height, width)

    def ours() -> Tensor:
        with torch.inference_mode():
            return method.fuse(*pair)

    def direct() -> Tensor:
        with ExitStack() as stack:
            for place, attribute, form in PATCHES[name]:
                stack.enter_context(patch.object(place, attribute, form))
            return ours()

    apart_by = float((ours() - direct()).abs().max())
    if apart_by > 1e-3:
        raise AssertionError(f"{name}: the direct form differs by {apart_by:g}")
    seconds = {n: median(s) for n, s in interleaved({"o": ours, "d": direct}, repeats).items()}
    shown = f"{seconds['o']:.2f} s, {seconds['d'] / seconds['o']:.2g}x (apart by {apart_by:.0e})"
    what = f"{name}, fuse {width}x{height}, {THREADS} threads"
    return Row(what, f"direct: {seconds['d']:.2f} s", shown, "not slower", met(seconds))


def met(seconds: dict[str, float]) -> bool:
    return seconds["o"] <= 1.05 * seconds["d"]  # 5 %: repeats differ by that


def run(names: Sequence[str] = tuple(PATCHES), repeats: int = 1) -> list[Row]:
    torch.set_num_threads(THREADS)
    return [compare(name, repeats) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(PATCHES))
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    table("direct forms", [asdict(row) for row in run(options.names, options.repeats)])


if __name__ == "__main__":
    main()
