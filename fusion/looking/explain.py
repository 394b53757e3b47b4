"""How much the feature maps after a layer repeat each other, patch by patch.

The paper of LKC-FUNet (arXiv 2411.10036) maps the local redundancy of feature maps in Figure 3.
The measure here is this project's own, not the paper's: in one patch, each channel is a vector of
its patch x patch values, and the redundancy of the patch is

    the mean of |Pearson correlation| over all pairs of channels that vary in this patch,

0 when no channel predicts another, 1 when all are copies of one up to gain, offset and sign.
Independent noise does not reach 0 in a small patch; `Redundancy.chance` is what it reaches.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusion.errors import InputError, did_you_mean
from fusion.generation.device import fuse_images
from fusion.method import FusionMethod
from fusion.pairs import Image

SHOWN, LISTED, PROBE = 4, 40, 64
"""How many layers are explained when none is named, and listed when an unknown one is; side in
pixels of the pair that finds them."""
CONSTANT = 1e-5
"""A channel varies in a patch when its deviation from its mean exceeds this part of its size."""
Watch = Callable[[str, Tensor], object]


@dataclass(frozen=True)
class Redundancy:
    """The redundancy of the feature map that one run of one layer returned.

    `values` is rows x columns of patches, float32 in [0, 1], nan where fewer than two channels
    vary; `varying` counts those that do. `shape` is the feature map's height and width; what does
    not fill a whole patch at its right and lower border is left out. A layer that both sources
    pass through runs more than once: `run` of `runs`, from 1.
    """

    layer: str
    channels: int
    shape: tuple[int, int]
    patch: int
    values: NDArray[np.float32]
    varying: NDArray[np.int64]
    run: int = 1
    runs: int = 1

    @property
    def mean(self) -> float:
        """Return the mean over the patches where it is defined; nan when there is none."""
        defined = self.values[np.isfinite(self.values)]
        return float(defined.mean(dtype=np.float64)) if defined.size else math.nan

    @property
    def undefined(self) -> int:
        """Return the number of patches in which fewer than two channels vary."""
        return int(np.isnan(self.values).sum())

    @property
    def chance(self) -> float:
        """Return the expected value for channels of independent Gaussian noise."""
        half = self.patch**2 / 2  # r^2 ~ Beta(1/2, half - 1), of which this is the mean root
        return math.exp(math.lgamma(half - 0.5) - math.lgamma(half)) / math.sqrt(math.pi)


@dataclass(frozen=True)
class Explanation:
    """The fused luminance of a pair, uint8 H x W, and the redundancy after each layer."""

    fused: Image
    maps: tuple[Redundancy, ...]


def explain(
    method: FusionMethod,
    infrared: Image,
    visible: Image,
    layers: Sequence[str] = (),
    patch: int = 8,
) -> Explanation:
    """Fuse a pair of luminances, uint8 H x W, and measure the feature maps after `layers`.

    Without `layers`, up to four are taken from the `feature_layers` that lie in no other, spread
    evenly from the first to the last. `patch` is in positions of the feature map, so that every
    value rests on equally many samples whatever the layer's resolution. Raises InputError for a
    layer that is unknown or returns no feature maps, and for a patch larger than a map or smaller
    than 2.
    """
    if patch < 2:
        raise InputError(f"patch is {patch}; use 2 or more.")
    named = _choose(method, layers)
    found: dict[str, list[Redundancy]] = {layer: [] for layer in named}

    def watch(layer: str, output: Tensor) -> None:
        found[layer] += [redundancy(features, patch, layer) for features in output]

    with _watching(method, named, watch):
        fused = fuse_images(method, infrared[None], visible[None], _device(method))[0]
    for layer, runs in found.items():
        if not runs:
            raise _refused(method, layer, "returns no feature maps of two or more channels")
    numbered = [replace(m, run=i, runs=len(r)) for r in found.values() for i, m in enumerate(r, 1)]
    return Explanation(fused, tuple(numbered))


def redundancy(features: Tensor, patch: int, layer: str = "") -> Redundancy:
    """Measure one feature map, C x H x W, in patches of `patch` x `patch` positions.

    Raises InputError, naming `layer`, when the map is smaller than a patch.
    """
    channels, height, width = features.shape
    rows, columns = height // patch, width // patch
    if not rows or not columns:
        raise InputError(
            f'The feature maps of "{layer}" are {width}x{height}, less than one patch of '
            f"{patch}x{patch}; use a smaller patch."
        )
    whole = features[:, : rows * patch, : columns * patch].float()
    tiles = whole.reshape(channels, rows, patch, columns, patch).permute(1, 3, 0, 2, 4).flatten(3)
    # Row by row: the correlations of all patches at once would not fit for hundreds of channels.
    values, varying = zip(*(_correlate(row) for row in tiles), strict=True)
    return Redundancy(
        layer, channels, (height, width), patch,
        torch.stack(values).cpu().numpy(), torch.stack(varying).cpu().numpy(),
    )  # fmt: skip


def _correlate(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return redundancy and number of varying channels per patch: P x C x N to P and P."""
    centred = samples - samples.mean(dim=-1, keepdim=True)
    length = centred.norm(dim=-1, keepdim=True)
    varies = length > CONSTANT * samples.norm(dim=-1, keepdim=True)
    unit = torch.where(varies, centred / length, 0.0)
    count = varies.sum(dim=(-2, -1))
    total = (unit @ unit.mT).abs().sum(dim=(-2, -1)) - count  # without each with itself
    mean = (total / (count * (count - 1))).clamp(0.0, 1.0)
    return torch.where(count > 1, mean, torch.nan), count


def feature_layers(method: FusionMethod) -> dict[str, int]:
    """Return the channels of every layer that returns feature maps, in the order they run.

    Feature maps are a tensor B x C x H x W with C, H and W of 2 or more; a gray pair of 64 x 64
    finds them. Raises InputError when there are none: the method is a formula, or its modules
    hold weights that it applies by itself.
    """
    found: dict[str, int] = {}
    names = [name for name, _ in method.named_modules() if name]
    with _watching(method, names, lambda name, out: found.setdefault(name, out.shape[1])):
        if names:
            blank = np.full((1, PROBE, PROBE), 128, np.uint8)
            fuse_images(method, blank, blank, _device(method))
    if not found:
        raise InputError(
            f"{type(method).__name__} has no layer that returns feature maps (B x C x H x W, two "
            f"channels or more), so there is nothing to explain; choose another method."
        )
    return found


def _choose(method: FusionMethod, layers: Sequence[str]) -> tuple[str, ...]:
    """Return `layers`, each once, or a few spread over the depth of the network."""
    if layers:
        modules = {name for name, _ in method.named_modules() if name}
        for layer in layers:
            if layer not in modules:
                raise _refused(method, layer, "is not in this network")
        return tuple(dict.fromkeys(layers))
    known = feature_layers(method)
    outermost = [name for name in known if not any(outer in known for outer in _around(name))]
    places = np.linspace(0, len(outermost) - 1, min(SHOWN, len(outermost))).round().astype(int)
    return tuple(outermost[place] for place in places)


def _around(name: str) -> list[str]:
    """Return the names of the modules that hold the module `name`: "a", "a.b" of "a.b.c"."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _refused(method: FusionMethod, layer: str, why: str) -> InputError:
    known = list(feature_layers(method))
    shallow = sorted(known, key=lambda name: name.count("."))[:LISTED]
    shown = {*shallow, *difflib.get_close_matches(layer, known)}
    deeper = f" ({len(known) - len(shown)} more within these.)" if len(known) > len(shown) else ""
    return InputError(f'The layer "{layer}" {why}.{did_you_mean(layer, list(shown))}{deeper}')


@contextmanager
def _watching(method: FusionMethod, layers: Sequence[str], watch: Watch) -> Iterator[None]:
    """Hand every feature map that one of `layers` returns within the block to `watch`."""

    def hook(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[1:]) > 1:
                watch(layer, output)

        return look

    handles = [method.get_submodule(name).register_forward_hook(hook(name)) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _device(method: FusionMethod) -> torch.device:
    return next((p.device for p in method.parameters()), torch.device("cpu"))
