"""What a finished cell scores on resampled test images, computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusion.files import write_atomically
from pipelines.results.finished import UNREADABLE, FinishedCell
from pipelines.results.statistics.bootstrap import RESAMPLES, numbered, resamples, sizes
from pipelines.store.digests import digest
from pipelines.store.store import Store
from pipelines.tasks.task import Floats

VERSION = 1
"""Raised whenever the same files would give other numbers."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Shares, float64[RESAMPLES, columns] in the order of the table's, and the scenes' `sizes`."""

    shares: Floats
    sizes: tuple[int, ...]


def resampled(finished: FinishedCell, store: Store) -> Resampled | None:
    """Return a cell's scores on the resamples that all methods share.

    None when the finished stage no longer holds, readably, the results it was scored from. What
    is kept counts only for the very result that it was made of, and for the very scenes.
    """
    result, task = finished.result, finished.cell.task
    path = store.root / "resampled" / f"{result.stage.key}-{VERSION}.npz"
    made_of = result.manifest.digest + _grouping(finished.scenes)
    if (entry := _read(path, made_of)) is not None:
        return entry
    if task.resample is None or finished.kept is None:
        return None
    scenes = numbered(finished.kept.names, finished.scenes)
    try:
        shares = task.resample(finished.kept, resamples(len(scenes), scenes).astype(np.int32))
    except UNREADABLE:
        return None
    entry = Resampled(shares, sizes(scenes))
    _write(path, made_of, entry)
    return entry


def _grouping(scenes: Mapping[str, str]) -> str:
    """Return what identifies the scenes; nothing where each image is its own."""
    return f" {digest(dict(scenes))}" if len(set(scenes.values())) < len(scenes) else ""


def _read(path: Path, made_of: str) -> Resampled | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            entry: dict[str, Any] = dict(arrays)
        if str(entry["digest"]) != made_of or len(entry["shares"]) != RESAMPLES:
            return None
        # Entries of before scenes were drawn hold the number of images, each of its own.
        known = entry["sizes"] if "sizes" in entry else np.ones(int(entry["images"]), np.intp)
        return Resampled(entry["shares"], tuple(known.tolist()))
    except UNREADABLE:
        return None  # half written or damaged: it is made again


def _write(path: Path, made_of: str, entry: Resampled) -> None:
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, lambda stream: np.savez(stream, digest=made_of, **vars(entry)))
