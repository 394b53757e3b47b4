"""Batches on the device that computes them: launched, then waited for."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.generation.items import Item
from fusion.method import FusionMethod
from fusion.pairs import Image


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


def fuse_images(
    method: FusionMethod, infrared: Image, visible: Image, where: torch.device
) -> Image:
    """Return the fused luminance, uint8 N x H x W, of two such stacks.

    Values are clamped to [0, 1], times 255, rounded half to even. Raises InputError when the
    method returns NaN or another shape.
    """
    return launch(method, infrared, visible, where).images()


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


def fused(
    method: FusionMethod, groups: Iterable[list[Item]], where: torch.device, flying: int
) -> Iterator[tuple[list[Item], Sequence[Image], float]]:
    """Yield each group, its images, and the seconds that the network took.

    While an accelerator computes up to `flying` groups, the next is launched.
    """
    going: deque[tuple[list[Item], Launched, float]] = deque()
    for group in groups:
        ready = [item.ready for item in group if item.ready is not None]
        if ready:
            yield group, ready, 0.0
            continue
        going.append((group, *_launched(method, group, where)))
        if len(going) > flying:
            yield _arrived(*going.popleft())
    while going:
        yield _arrived(*going.popleft())


def _launched(
    method: FusionMethod, group: Sequence[Item], where: torch.device
) -> tuple[Launched, float]:
    start = time.perf_counter()
    infrared = np.stack([item.infrared for item in group])
    visible = np.stack([item.visible for item in group])
    with _naming(group):
        return launch(method, infrared, visible, where), time.perf_counter() - start


def _arrived(
    group: list[Item], launched: Launched, seconds: float
) -> tuple[list[Item], Sequence[Image], float]:
    start = time.perf_counter()
    with _naming(group):
        images = list(launched.images())
    return group, images, seconds + time.perf_counter() - start


@contextlib.contextmanager
def _naming(group: Sequence[Item]) -> Iterator[None]:
    """Let errors say which pairs were being fused."""
    names = ", ".join(item.name for item in group)
    try:
        yield
    except InputError as error:
        raise InputError(f"Fusing {names}: {error}") from error
    except Exception as error:
        error.add_note(f"while fusing {names}")
        raise
