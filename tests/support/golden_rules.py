"""The two fill rules, A and B, that several published networks' references share."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from golden_tools import Array

Special = Mapping[str, tuple[float, float]]
"""Regular expression searched in a key -> (offset, scale) of that entry."""


def fill_by_rule(
    state: Mapping[str, torch.Tensor],
    rule: Literal["A", "B"],
    gain: float = 0.0,
    special: Special | None = None,
) -> None:
    """Overwrite the floating tensors of `state`, in place, by rule A or B of the references.

    `gain` is rule B's factor of matrices and kernels; `special` (rule B only) names entries with
    an offset and a scale of their own. Keys are the published ones.
    """
    for key, tensor in state.items():
        if tensor.is_floating_point():
            offset, scale = _amplitude(key, tuple(tensor.shape), rule, gain, special or {})
            values = offset + scale * _wave(key, tensor.numel(), rule).reshape(tensor.shape)
            tensor.copy_(torch.from_numpy(values.astype(np.float32)))


def _amplitude(
    key: str, shape: tuple[int, ...], rule: str, gain: float, special: Special
) -> tuple[float, float]:
    norm = len(shape) == 1 and key.endswith("weight")
    if rule == "A":
        return (1.0 if norm else 0.0), 0.05
    for pattern, pair in special.items():
        if re.search(pattern, key):
            return pair
    if len(shape) >= 2:
        return 0.0, gain / math.sqrt(math.prod(shape[1:]))
    return (1.0, 0.2) if norm else (0.0, 0.1)


def _wave(key: str, count: int, rule: str) -> Array:
    i = np.arange(count, dtype=np.int64)
    angle = 0.37 * i + 1.7 * (zlib.crc32(key.encode()) % 1000)
    if rule == "B":
        angle = angle + 0.61 * (i * i % 1009)
    wave: Array = np.sin(angle)
    return wave
