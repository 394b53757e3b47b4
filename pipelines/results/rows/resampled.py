"""What a finished cell scores on resampled test images, computed once and kept in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fusion.files import write_atomically
from pipelines.results.finished import UNREADABLE, FinishedCell
from pipelines.results.statistics.bootstrap import RESAMPLES, resamples
from pipelines.store.store import Store
from pipelines.tasks.task import Floats

VERSION = 1
"""Raised whenever the same files would give other numbers."""

Resampled = tuple[Floats, int]
"""Shares, float64[RESAMPLES, columns] in the order of the table's, and the number of images."""


def resampled(finished: FinishedCell, store: Store) -> Resampled | None:
    """Return a cell's scores on the resamples that all methods share.

    None when the finished stage no longer holds, readably, the results it was scored from. What
    is kept counts only for the very result that it was made of.
    """
    result, task = finished.result, finished.cell.task
    path = store.root / "resampled" / f"{result.stage.key}-{VERSION}.npz"
    if (entry := _read(path, result.manifest.digest)) is not None:
        return entry
    if task.resample is None or finished.kept is None:
        return None
    images = finished.kept.images
    try:
        shares = task.resample(finished.kept, resamples(images).astype(np.int32))
    except UNREADABLE:
        return None
    _write(path, result.manifest.digest, (shares, images))
    return shares, images


def _read(path: Path, digest: str) -> Resampled | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            entry: dict[str, Any] = dict(arrays)
        if str(entry["digest"]) != digest or len(entry["shares"]) != RESAMPLES:
            return None
        return entry["shares"], int(entry["images"])
    except UNREADABLE:
        return None  # half written or damaged: it is made again


def _write(path: Path, digest: str, entry: Resampled) -> None:
    path.parent.mkdir(exist_ok=True)
    shares, images = entry
    write_atomically(
        path, lambda stream: np.savez(stream, shares=shares, images=images, digest=digest)
    )
