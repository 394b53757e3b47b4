"""What a finished cell scores on resampled test images, computed once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusion.files import write_atomically
from pipelines.execution.faults import spared
from pipelines.results.finished import UNREADABLE, FinishedCell
from pipelines.results.statistics.bootstrap import RESAMPLES, numbered, resamples, sizes
from pipelines.store.digests import digest
from pipelines.store.store import Store
from pipelines.tasks.task import Floats

VERSION = 1
"""Raised whenever the same files would give other numbers."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Shares, float64[RESAMPLES, columns] in the order of the table's, and the scenes' `sizes`.

    `scores` are those of the images themselves where folds were pooled, else empty.
    """

    shares: Floats
    sizes: tuple[int, ...]
    scores: Floats = field(default_factory=lambda: np.empty(0))


def resampled(folds: Sequence[FinishedCell], store: Store) -> Resampled | None:
    """Return a seed's scores on the resamples that all methods share: of one cell, or its folds.

    Scenes are drawn within folds. A task that can pools the folds' images, as IoU has one
    confusion matrix; of others the score is the mean of the folds', as AP ranks by the confidence
    of one network, and those of several are on different scales (Forman and Scholz, SIGKDD
    Explorations 12 (2010)): in 200 simulations of five networks whose confidences were 0.5, 1 and
    2 standard deviations apart, AP of all boxes together was 3, 7 and 13 points below their own.
    None when a finished stage no longer holds, readably, the results it was scored from.
    """
    if len(folds) == 1 or folds[0].cell.task.pool is not None:
        return _pooled(folds, store)
    parts = [_pooled([one], store) for one in folds]
    known = [one for one in parts if one is not None]
    if len(known) < len(parts):
        return None
    return Resampled(
        mean_of([one.shares for one in known]),
        tuple(size for one in known for size in one.sizes),
        mean_of([np.array(one.scores, dtype=np.float64) for one in folds]),
    )


def mean_of(parts: Sequence[Floats]) -> Floats:
    """Return the mean of the folds' scores, of a class over the folds that show it."""
    stack = np.stack(parts)
    known = np.isfinite(stack)
    total, number = np.where(known, stack, 0).sum(axis=0), known.sum(axis=0)
    mean: Floats = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return mean


def _pooled(cells: Sequence[FinishedCell], store: Store) -> Resampled | None:
    """Return what cells score together; it is kept for the very results and scenes it is of."""
    task, results = cells[0].cell.task, [one.result for one in cells]
    made_of = " ".join(map(_made_of, cells))
    key = results[0].stage.key
    if len(cells) > 1:
        key = digest([one.stage.key for one in results])[:16]
    path = store.root / "resampled" / f"{key}-{VERSION}.npz"
    if (entry := _read(path, made_of, store.say)) is not None:
        return entry
    kept = [one.kept for one in cells]
    if task.resample is None or None in kept:
        return None
    scenes = [numbered(k.names, c.scenes) for k, c in zip(kept, cells, strict=True) if k]
    drawn = [resamples(len(own), own, _number(one)) for own, one in zip(scenes, cells, strict=True)]
    counts = np.concatenate(drawn, axis=1).astype(np.int32)
    try:
        if len(cells) == 1 or task.pool is None:
            found = Resampled(task.resample(kept[0], counts), sizes(scenes[0]))
        else:
            together, once = task.pool(kept), np.ones((1, counts.shape[1]), np.int32)
            shares = task.resample(together, np.concatenate([once, counts]))
            found = Resampled(shares[1:], tuple(n for own in scenes for n in sizes(own)), shares[0])
    except UNREADABLE:
        return None
    with spared("resamples, which are drawn again next time", store.say, path):
        _write(path, made_of, found)
    return found


def _number(one: FinishedCell) -> int:
    return one.cell.fold.number if one.cell.fold else 0


def _made_of(one: FinishedCell) -> str:
    fold = f" fold {_number(one)}" if _number(one) else ""
    return f"{one.result.manifest.digest}{_grouping(one.scenes)}{fold}"


def _grouping(scenes: Mapping[str, str]) -> str:
    """Return what identifies the scenes; nothing where each image is its own."""
    return f" {digest(dict(scenes))}" if len(set(scenes.values())) < len(scenes) else ""


def _read(path: Path, made_of: str, say: Callable[[str], None]) -> Resampled | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            entry: dict[str, Any] = dict(arrays)
        if str(entry["digest"]) != made_of or len(entry["shares"]) != RESAMPLES:
            return None
        # Entries of before scenes were drawn hold the number of images, each of its own.
        known = entry["sizes"] if "sizes" in entry else np.ones(int(entry["images"]), np.intp)
        scores = entry.get("scores", np.empty(0))
        return Resampled(entry["shares"], tuple(known.tolist()), scores)
    except FileNotFoundError:
        return None
    except UNREADABLE:
        say(f"  broken  {path} cannot be read; it is made again")
        return None


def _write(path: Path, made_of: str, entry: Resampled) -> None:
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, lambda stream: np.savez(stream, digest=made_of, **vars(entry)))
