"""Fuse a whole list of pairs into a folder of PNG files."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
import torch

from fusion.batches import Launched, batches, launch
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import (
    Image,
    ImagePair,
    check_same_size,
    from_ycrcb,
    is_gray,
    luminance,
    read_image,
    split_luminance,
    write_png,
)
from fusion.torch_tools import resolve_device

Color = Literal["visible", "infrared"]
MOST_WORKERS = 8
LIGHT = 1000
"""A method of fewer weights is counted as cheaper than the PNG files around it (about 20 ns a
pixel; a weight costs about one multiply-add a pixel)."""

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
    """A decoded pair: luminances H x W, the YCrCb to colour with or None, or a finished image."""

    name: str
    infrared: Image
    visible: Image
    ycrcb: Image | None
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
    """Write ``out/NAME.png`` for every pair.

    The fused luminance is rounded to 8 bits; Cr and Cb of the `color` image are reattached unless
    `gray` is set or that image is gray. The methods "infrared" and "visible" write the image
    itself, and images found by name are taken as they are. Pairs of one size share a batch of at
    most `batch`, also when sizes alternate. `on_progress` receives (done, total). Raises InputError
    naming the file, promptly and with all threads ended, for a pair that cannot be read, fused or
    written.
    """
    _check(method, pairs, batch, color)
    where = resolve_device(device)
    method = method.to(where).eval()
    out.mkdir(parents=True, exist_ok=True)
    start, network, done, workers = time.perf_counter(), 0.0, 0, _workers()
    method.prepare(pairs, out)
    writing: deque[Future[None]] = deque()
    with _lone_threads(method), _pool(workers) as readers, _pool(workers) as writers:
        decoded = _ahead(readers, partial(_decode, method, color), pairs, workers + batch)
        for group, images, seconds in _fused(method, batches(decoded, batch, _alike), where):
            network += seconds
            for item, image in zip(group, images, strict=True):
                writing.append(writers.submit(_write, out, item, image, gray))
            _collect(writing, keep=2 * workers)
            done += len(group)
            if on_progress:
                on_progress(done, len(pairs))
        _collect(writing, keep=0)
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


def _workers() -> int:
    """Return how many threads decode, and how many encode: OpenCV does both outside the GIL."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(2, cores or 1), MOST_WORKERS)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that end with the block, whatever has been asked of them."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _lone_threads(method: FusionMethod) -> Iterator[None]:
    """Let OpenCV, and torch for a light method, compute without helpers of their own.

    Helpers spin while they wait for work, on the cores that decode and encode. For torch the
    choice is by weights, not by time: results may depend on it in their last bits.
    """
    torch_before, opencv_before = torch.get_num_threads(), cv2.getNumThreads()
    weights = sum(tensor.numel() for tensor in method.state_dict().values())
    if weights < LIGHT:
        torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(torch_before)
        cv2.setNumThreads(opencv_before)


def _decode(method: FusionMethod, color: Color, pair: ImagePair) -> _Item:
    infrared, visible = read_image(pair.infrared), read_image(pair.visible)
    check_same_size(pair, infrared, visible)
    ready = _ready(method, pair, infrared, visible)
    (first, first_ycrcb), (second, second_ycrcb) = map(split_luminance, (infrared, visible))
    ycrcb = second_ycrcb if color == "visible" else first_ycrcb
    return _Item(pair.name, first, second, ycrcb, ready)


def _ready(method: FusionMethod, pair: ImagePair, infrared: Image, visible: Image) -> Image | None:
    """Return the finished image of a method that computes none, else None."""
    source = getattr(method, "source", None)
    if source == "infrared":
        return luminance(infrared)
    if source == "visible":
        return luminance(visible) if is_gray(visible) else visible
    ready = method.ready_image(pair.name)
    if ready is not None and ready.shape[:2] != visible.shape[:2]:
        given, size = (f"{i.shape[1]}x{i.shape[0]}" for i in (ready, visible))
        raise InputError(
            f'The fused image of "{pair.name}" is {given} but its pair ({pair.visible}) is {size}; '
            f"fuse it again at the pair's size."
        )
    return ready


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


def _alike(item: _Item) -> tuple[object, ...]:
    return item.infrared.shape, item.ready is None


def _fused(
    method: FusionMethod, groups: Iterable[list[_Item]], where: torch.device
) -> Iterator[tuple[list[_Item], Sequence[Image], float]]:
    """Yield each group, its images, and the seconds that the network took.

    While a CUDA device computes one group, the next is launched.
    """
    going: deque[tuple[list[_Item], Launched, float]] = deque()
    for group in groups:
        ready = [item.ready for item in group if item.ready is not None]
        if ready:
            yield group, ready, 0.0
            continue
        going.append((group, *_launch(method, group, where)))
        if len(going) > (where.type == "cuda"):
            yield _arrived(*going.popleft())
    while going:
        yield _arrived(*going.popleft())


def _launch(
    method: FusionMethod, group: Sequence[_Item], where: torch.device
) -> tuple[Launched, float]:
    start = time.perf_counter()
    infrared = np.stack([item.infrared for item in group])
    visible = np.stack([item.visible for item in group])
    with _naming(group):
        return launch(method, infrared, visible, where), time.perf_counter() - start


def _arrived(
    group: list[_Item], launched: Launched, seconds: float
) -> tuple[list[_Item], Sequence[Image], float]:
    start = time.perf_counter()
    with _naming(group):
        images = list(launched.images())
    return group, images, seconds + time.perf_counter() - start


@contextlib.contextmanager
def _naming(group: Sequence[_Item]) -> Iterator[None]:
    """Let errors tell which pairs were being fused."""
    names = ", ".join(item.name for item in group)
    try:
        yield
    except InputError as error:
        raise InputError(f"Fusing {names}: {error}") from error
    except Exception as error:
        error.add_note(f"while fusing {names}")
        raise


def fuse_images(
    method: FusionMethod, infrared: Image, visible: Image, where: torch.device
) -> Image:
    """Return the fused luminance, uint8 N x H x W, of two such stacks.

    Values are clamped to [0, 1], times 255, rounded half to even. Raises InputError when the
    method returns NaN or another shape.
    """
    return launch(method, infrared, visible, where).images()


def _write(out: Path, item: _Item, image: Image, gray: bool) -> None:
    if item.ready is None and item.ycrcb is not None and not gray:
        image = from_ycrcb(image, item.ycrcb)
    if gray:
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
