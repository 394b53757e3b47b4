"""What a checkpoint has turned out to hold: a tree of plain values and tensors, of the file's size.

A list may hold itself, or the same list twice, thirty deep: nothing to read it, and for ever to
walk through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fusion.errors import InputError

MOST_VALUES = 2_000_000
DEEPEST = 60
TIMES = 8
"""Tensors may share their numbers, but so many times the file's size is more than sharing."""

Extent = tuple[int, int, int]
"""Values, levels, and bytes of tensors, each shared one counted as often as it is met."""


def check_content(path: Path, content: Any) -> None:
    """Raise InputError unless `content`, read from `path`, is a tree of about the file's size."""
    try:
        _Walk(path).extent(content, ())
    except RecursionError as error:
        raise _refused(path, "it is nested too deep") from error


def _refused(path: Path, why: str) -> InputError:
    return InputError(f"{path} cannot be read as a checkpoint: {why}; fetch or train it again.")


class _Walk:
    def __init__(self, path: Path) -> None:
        self._path, self._bytes = path, path.stat().st_size
        self._known: dict[int, Extent] = {}

    def extent(self, value: Any, above: tuple[int, ...]) -> Extent:
        """Return what a value amounts to; InputError where that is beyond all reason."""
        if isinstance(value, Tensor):
            return 1, 0, self._of_tensor(value)
        inside = _inside(value)
        if inside is None:
            return 1, 0, 0
        if id(value) in above or len(above) > DEEPEST:
            raise _refused(self._path, "it holds itself, or is nested too deep")
        if id(value) not in self._known:
            parts = [self.extent(one, (*above, id(value))) for one in inside]
            values, size = 1 + sum(p[0] for p in parts), sum(p[2] for p in parts)
            levels = 1 + max((p[1] for p in parts), default=0)
            if values > MOST_VALUES or levels > DEEPEST or size > TIMES * self._bytes:
                raise _refused(self._path, "it stands for far more than the file has room for")
            self._known[id(value)] = values, levels, size
        return self._known[id(value)]

    def _of_tensor(self, tensor: Tensor) -> int:
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.is_quantized:
            raise _refused(self._path, "it holds tensors of another kind than plain numbers")
        size = tensor.numel() * tensor.element_size()
        if size > tensor.untyped_storage().nbytes():
            raise _refused(self._path, f"a tensor of {size:,} bytes is made of fewer")
        return size


def _inside(value: Any) -> Iterable[Any] | None:
    """Return what a value holds; None of one that holds nothing."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return value
    # Detectors' building blocks hold each other as attributes.
    return vars(value).values() if isinstance(value, torch.nn.Module | SimpleNamespace) else None
