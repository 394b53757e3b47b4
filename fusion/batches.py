"""Batches of a fused folder: pairs of one size put together, computed while others are decoded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import Image

LOOK_AHEAD = 4
"""How many batches' worth of items may wait for others of their size."""

Item = TypeVar("Item")


def batches(
    items: Iterable[Item], size: int, key: Callable[[Item], Hashable]
) -> Iterator[list[Item]]:
    """Yield lists of at most `size` items of equal `key`, the longest waiting first when in doubt.

    Sizes may alternate: items wait for their like until `size` of one key or ``LOOK_AHEAD * size``
    in all are there. The order within a key is kept.
    """
    waiting: dict[Hashable, list[Item]] = {}
    held = 0
    for item in items:
        group = waiting.setdefault(key(item), [])
        group.append(item)
        held += 1
        if len(group) == size or held == LOOK_AHEAD * size:
            full = key(item) if len(group) == size else next(iter(waiting))
            done = waiting.pop(full)
            held -= len(done)
            yield done
    yield from waiting.values()


@dataclass(frozen=True)
class Launched:
    """A batch that a device may still be computing: grey levels N x 1 x H x W on their way here."""

    levels: Tensor
    sound: Tensor
    arrived: torch.cuda.Event | None

    def images(self) -> Image:
        """Wait and return the fused luminance, uint8 N x H x W; InputError when it holds NaN."""
        if self.arrived is not None:
            self.arrived.synchronize()
        if not bool(self.sound):
            raise InputError("the method returned NaN; check its weights and the value range.")
        fused: Image = self.levels.squeeze(1).numpy()
        return fused


@torch.inference_mode()
def launch(method: FusionMethod, infrared: Image, visible: Image, where: torch.device) -> Launched:
    """Fuse two uint8 stacks N x H x W on `where`; a CUDA device goes on after this returns.

    Values are clamped to [0, 1], times 255, rounded half to even. Raises InputError when the
    method returns another shape.
    """
    first, second = _values(infrared, where), _values(visible, where)
    fused = method.fuse(first, second).float()  # a network may compute in half precision
    if fused.shape != first.shape:
        raise InputError(f"the method returned {tuple(fused.shape)}, not {tuple(first.shape)}.")
    sound = fused.sum().isfinite()  # what lies in [0, 1] adds up to a number, unless one is NaN
    levels = (fused * 255).round_().to(torch.uint8)
    if where.type != "cuda":
        return Launched(levels.cpu(), sound.cpu(), None)
    # Copies that do not block land in pinned memory, which may be read only after the event.
    levels, sound = (tensor.to("cpu", non_blocking=True) for tensor in (levels, sound))
    return Launched(levels, sound, torch.cuda.current_stream(where).record_event())


def _values(images: Image, where: torch.device) -> Tensor:
    levels = torch.from_numpy(images).unsqueeze(1)
    if where.type == "cuda":  # pinned memory stays reserved until the copy has been made
        levels = levels.pin_memory().to(where, non_blocking=True)
    return levels.to(where).float().div_(255)
