"""Fuse a whole list of pairs into a folder of PNG files."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import (
    Image,
    ImagePair,
    check_same_size,
    is_gray,
    luminance,
    read_rgb,
    reattach_chroma,
    write_png,
)
from fusion.registry import resolve_device

Color = Literal["visible", "infrared"]
READERS, WRITERS = 3, 2
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True)
class FuseSummary:
    """How many pairs were fused, the wall time, and the part of it spent in the network."""

    count: int
    seconds: float
    network_seconds: float


@dataclass(frozen=True)
class _Item:
    """A decoded pair: luminances H x W, the colour to reattach or None, or a finished image."""

    name: str
    infrared: Image
    visible: Image
    chroma: Image | None
    ready: Image | None


def fuse_folder(
    method: FusionMethod,
    pairs: Sequence[ImagePair],
    out: Path,
    *,
    gray: bool = False,
    device: str = "cpu",
    batch: int = 1,
    color: Color = "visible",
    on_progress: Callable[[int, int], None] | None = None,
) -> FuseSummary:
    """Write ``out/NAME.png`` for every pair, in order.

    The fused luminance is rounded to 8 bits; Cr and Cb of the `color` image are reattached unless
    `gray` is set or that image is gray. The methods "infrared" and "visible" write the image
    itself, and images found by name are taken as they are. Consecutive pairs of one size share a
    batch of at most `batch`. `on_progress` receives (done, total). Raises InputError naming the
    file, promptly and with all threads ended, for a pair that cannot be read, fused or written.
    """
    _check(method, pairs, batch, color)
    where = resolve_device(device)
    method = method.to(where).eval()
    out.mkdir(parents=True, exist_ok=True)
    start, network, done = time.perf_counter(), 0.0, 0
    method.prepare(pairs, out)
    readers, writers = ThreadPoolExecutor(READERS), ThreadPoolExecutor(WRITERS)
    writing: deque[Future[None]] = deque()
    try:
        decode = partial(_decode, method, color)
        for group in _groups(_ahead(readers, decode, pairs, READERS + batch), batch):
            before = time.perf_counter()
            images = _fuse_group(method, group, where)
            network += time.perf_counter() - before
            for item, image in zip(group, images, strict=True):
                writing.append(writers.submit(_write, out, item, image, gray))
            _collect(writing, keep=2 * WRITERS)
            done += len(group)
            if on_progress:
                on_progress(done, len(pairs))
        _collect(writing, keep=0)
    finally:
        readers.shutdown(cancel_futures=True)
        writers.shutdown(cancel_futures=True)
    return FuseSummary(done, time.perf_counter() - start, network)


def _check(method: FusionMethod, pairs: Sequence[ImagePair], batch: int, color: str) -> None:
    if not pairs:
        raise InputError("There is no pair to fuse; check the two image folders.")
    name, count = Counter(pair.name for pair in pairs).most_common(1)[0]
    if count > 1:
        raise InputError(f'{count} pairs are named "{name}"; names must differ, rename the files.')
    if batch < 1:
        raise InputError(f"batch is {batch}; use 1 or more.")
    if color not in ("visible", "infrared"):
        raise InputError(f'color is "{color}"; use "visible" or "infrared".')
    require = getattr(method, "require_names", None)
    if require is not None:
        require([pair.name for pair in pairs])


def _decode(method: FusionMethod, color: Color, pair: ImagePair) -> _Item:
    infrared, visible = read_rgb(pair.infrared), read_rgb(pair.visible)
    check_same_size(pair, infrared, visible)
    lum = luminance(infrared), luminance(visible)
    chroma = visible if color == "visible" else infrared
    ready = method.ready_image(pair.name)
    if ready is not None and ready.shape[:2] != visible.shape[:2]:
        given, size = (f"{i.shape[1]}x{i.shape[0]}" for i in (ready, visible))
        raise InputError(
            f'The fused image of "{pair.name}" is {given} but its pair ({pair.visible}) is {size}; '
            f"fuse it again at the pair's size."
        )
    source = getattr(method, "source", None)
    if source == "infrared":
        ready = lum[0]
    elif source == "visible":
        ready = lum[1] if is_gray(visible) else visible
    return _Item(pair.name, *lum, None if is_gray(chroma) else chroma, ready)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], depth: int
) -> Iterator[Out]:
    """Yield function(item) in order, computed by `pool` at most `depth` items ahead."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _groups(items: Iterable[_Item], batch: int) -> Iterator[list[_Item]]:
    """Yield runs of at most `batch` consecutive items that can be computed together."""
    group: list[_Item] = []
    for item in items:
        alike = group and item.infrared.shape == group[0].infrared.shape
        alike = alike and (item.ready is None) == (group[0].ready is None)
        if group and (len(group) == batch or not alike):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _fuse_group(
    method: FusionMethod, group: Sequence[_Item], where: torch.device
) -> Sequence[Image]:
    ready = [item.ready for item in group if item.ready is not None]
    if ready:
        return ready
    names = ", ".join(item.name for item in group)
    infrared = np.stack([item.infrared for item in group])
    visible = np.stack([item.visible for item in group])
    try:
        fused = fuse_images(method, infrared, visible, where)
    except InputError as error:
        raise InputError(f"Fusing {names}: {error}") from error
    except Exception as error:
        error.add_note(f"while fusing {names}")
        raise
    return list(fused)


def fuse_images(
    method: FusionMethod, infrared: Image, visible: Image, where: torch.device
) -> Image:
    """Return the fused luminance, uint8 N x H x W, of two such stacks.

    Values are clamped to [0, 1], times 255, rounded half to even. Raises InputError when the
    method returns NaN, infinity or another shape.
    """
    first, second = (
        torch.from_numpy(i).to(where).unsqueeze(1).float() / 255 for i in (infrared, visible)
    )
    fused = method.fuse(first, second)
    if fused.shape != first.shape:
        raise InputError(f"the method returned {tuple(fused.shape)}, not {tuple(first.shape)}.")
    if not bool(fused.isfinite().all()):
        raise InputError("the method returned NaN; check its weights and the value range.")
    return np.asarray((fused * 255).round().to(torch.uint8).squeeze(1).cpu().numpy(), np.uint8)


def _write(out: Path, item: _Item, image: Image, gray: bool) -> None:
    if item.ready is None and item.chroma is not None and not gray:
        image = reattach_chroma(image, item.chroma)
    if gray and image.ndim == 3:
        image = luminance(image)
    path = out / f"{item.name}.png"
    try:
        write_png(path, image)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); check the disk.") from error


def _collect(writing: deque[Future[None]], keep: int) -> None:
    """Wait until at most `keep` writes are pending; a failed one is raised at once."""
    while writing and (len(writing) > keep or writing[0].done()):
        writing.popleft().result()
