"""Fuse a whole list of pairs into a folder of PNG files."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fusion.errors import InputError
from fusion.generation import threads
from fusion.generation.batches import batches
from fusion.generation.device import fused
from fusion.generation.items import Color, decode, write
from fusion.method import FusionMethod
from fusion.pairs import ImagePair
from fusion.torch_tools import accelerated, float32_products, resolve_device


@dataclass(frozen=True)
class FuseSummary:
    """How many pairs were fused, the wall time, and the part of it spent in the network."""

    count: int
    seconds: float
    network_seconds: float


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
    written, and before anything is written for one whose image would lie where its source does.
    """
    _check(method, pairs, batch, color)
    _check_place(pairs, out)
    where = resolve_device(device)
    method = method.to(where).eval()
    out.mkdir(parents=True, exist_ok=True)
    start, network, done, workers = time.perf_counter(), 0.0, 0, threads.workers()
    method.prepare(pairs, out)
    writing: deque[Future[None]] = deque()
    with (
        float32_products(),
        threads.lone_threads(method),
        threads.pool(workers) as readers,
        threads.pool(workers) as writers,
    ):
        items = threads.ahead(readers, partial(decode, method, color), pairs, workers + batch)
        groups = batches(items, batch, lambda item: item.kind)
        for group, images, seconds in fused(method, groups, where, int(accelerated(device))):
            network += seconds
            for item, image in zip(group, images, strict=True):
                writing.append(writers.submit(write, out, item, image, gray))
            threads.collect(writing, keep=2 * workers)
            done += len(group)
            if on_progress:
                on_progress(done, len(pairs))
        threads.collect(writing, keep=0)
    return FuseSummary(done, time.perf_counter() - start, network)


def _check_place(pairs: Sequence[ImagePair], out: Path) -> None:
    """Raise InputError where a fused image would be written over its source, links included."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder for the fused images.")
    for pair in pairs:
        target = out / f"{pair.name}.png"
        if target.exists() and any(target.samefile(one) for one in (pair.infrared, pair.visible)):
            raise InputError(
                f"{target} is one of the images to be fused, and would be written over; give "
                f"another folder than {out}."
            )


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
    method.require_names([pair.name for pair in pairs])
