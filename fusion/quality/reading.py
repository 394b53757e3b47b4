"""Read images as the metrics want them, and score any number of them in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from fusion.errors import InputError
from fusion.pairs import Image, read_rgb
from fusion.quality.scoring import score, why_undefined
from fusion.quality.settings import METRICS, Convention


class FusedPair(NamedTuple):
    """The three files of one scene, under a name to report them by."""

    name: str
    fused: Path
    infrared: Path
    visible: Path


@dataclass(frozen=True)
class PairScore:
    """The values of one fused image by metric, nan where undefined, and then why."""

    name: str
    values: dict[str, float]
    undefined: dict[str, str]


_Levels = tuple[FusedPair, tuple[Image, Image, Image]]


def read_for_metrics(path: Path) -> Image:
    """Read an 8-bit image as the grey levels that the published metrics are computed on, H x W.

    0.299 R + 0.587 G + 0.114 B in float32, rounded half to even. (`fusion.pairs.read_gray`,
    which methods are fed by, rounds in integers: one level off in some 1 of 500 colours.)
    Raises InputError for a file that is not an 8-bit image.
    """
    weighted = cv2.cvtColor(read_rgb(path).astype(np.float32), cv2.COLOR_RGB2GRAY)
    return np.rint(weighted).astype(np.uint8)


def score_pairs(
    pairs: Iterable[FusedPair],
    metrics: Sequence[str] = METRICS,
    convention: Convention = "paper",
    *,
    device: str = "cpu",
    batch: int = 8,
    readers: int = 2,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[PairScore]:
    """Yield the scores of `pairs`, in their order, reading files while others are scored.

    At most 3 x `batch` triples are in memory at once. Images may differ in size from pair to
    pair; neighbours of one size are scored together. `on_progress` is told how many are done.
    Raises InputError for a file that cannot be read or differs in size from its partners.
    """
    if batch < 1 or readers < 1:
        raise InputError(f"batch is {batch} and readers is {readers}; both must be at least 1.")
    done = 0
    with ThreadPoolExecutor(readers) as pool:
        stream = _read_ahead(pool, iter(pairs), 2 * batch)
        for _, neighbours in groupby(stream, key=lambda item: item[1][0].shape):
            while group := list(islice(neighbours, batch)):
                yield from _score_group(group, metrics, convention, device)
                done += len(group)
                if on_progress:
                    on_progress(done)


def _read_ahead(
    pool: ThreadPoolExecutor, pairs: Iterator[FusedPair], ahead: int
) -> Iterator[_Levels]:
    waiting: deque[Future[_Levels]] = deque()
    try:
        for pair in pairs:
            waiting.append(pool.submit(_read, pair))
            if len(waiting) == ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _read(pair: FusedPair) -> _Levels:
    fused, infrared, visible = (read_for_metrics(path) for path in pair[1:])
    for path, image in ((pair.infrared, infrared), (pair.visible, visible)):
        if image.shape != fused.shape:
            first, second = (f"{i.shape[1]}x{i.shape[0]}" for i in (fused, image))
            raise InputError(
                f"{pair.fused} is {first} but {path} is {second}; metrics compare pixel by "
                f"pixel, so fuse at the size of the sources."
            )
    return pair, (fused, infrared, visible)


def _score_group(
    group: list[_Levels], metrics: Sequence[str], convention: Convention, device: str
) -> Iterator[PairScore]:
    fused, infrared, visible = (
        torch.from_numpy(np.stack([levels[i] for _, levels in group])).to(device) for i in range(3)
    )
    columns = score(fused, infrared, visible, metrics, convention)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    for i, ((pair, _), row) in enumerate(zip(group, rows, strict=True)):
        values = dict(zip(columns, row, strict=True))
        one = (fused[i : i + 1], infrared[i : i + 1], visible[i : i + 1])
        reasons = {
            metric: why_undefined(metric, *one, convention)[0] or "the result is not a number"
            for metric, value in values.items()
            if value != value
        }
        yield PairScore(pair.name, values, reasons)
