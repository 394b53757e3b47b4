"""What a finished cell scores on resampled test images, computed once and kept in the store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipelines.planning.plan import Cell
from pipelines.results.statistics.bootstrap import RESAMPLES, resamples
from pipelines.store.store import Store

VERSION = 1
"""Raised whenever the same files would give other numbers."""

Floats = NDArray[np.float64]
Found = tuple[Floats, int]
"""Shares, float64[RESAMPLES, columns] in the order of the table's, and the number of images."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


def resampled_cell(cell: Cell, store: Store, classes: Sequence[str]) -> Found | None:
    """Return a detection or segmentation cell's scores on the resamples that all methods share.

    None when the finished stage no longer holds, readably, the results it was scored from. What
    is kept counts only for the very result that it was made of.
    """
    manifest = store.manifest(cell.result)
    if manifest is None:
        return None
    path = store.root / "resampled" / f"{cell.result.key}-{VERSION}.npz"
    if (kept := _read(path, manifest.digest)) is not None:
        return kept
    try:
        found = RESAMPLERS[cell.task](store.directory(cell.result), classes)
    except UNREADABLE:
        return None
    _write(path, manifest.digest, found)
    return found


def _detection(folder: Path, classes: Sequence[str]) -> Found:
    from detection.resampling import ApResampler

    truth, predictions = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("ground_truth", "predictions")
    )
    images = len(truth["images"])
    ap = ApResampler(truth, predictions, classes).resample(resamples(images).astype(np.int32))
    return np.column_stack([ap.ap50, ap.map50, ap.map]), images


def _segmentation(folder: Path, classes: Sequence[str]) -> Found:
    from segmentation.resampling import resampled_iou

    # np.load leaves a file that it opened itself and cannot read open.
    with (folder / "confusion.npz").open("rb") as stream, np.load(stream) as kept:
        confusion = kept["confusion"]
    if confusion.shape[1:] != (len(classes), len(classes)):
        raise ValueError(f"{folder} holds a confusion of shape {confusion.shape}")
    iou = resampled_iou(confusion, resamples(len(confusion)))
    return np.column_stack([iou.iou, iou.miou, iou.miou_foreground]), len(confusion)


RESAMPLERS: dict[str, Callable[[Path, Sequence[str]], Found]] = {
    "detection": _detection,
    "segmentation": _segmentation,
}


def _read(path: Path, digest: str) -> Found | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            found: dict[str, Any] = dict(kept)
        if str(found["digest"]) != digest or len(found["shares"]) != RESAMPLES:
            return None
        return found["shares"], int(found["images"])
    except UNREADABLE:
        return None  # half written or damaged: it is made again


def _write(path: Path, digest: str, found: Found) -> None:
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    np.savez(beside, shares=found[0], images=found[1], digest=digest)
    beside.replace(path)
