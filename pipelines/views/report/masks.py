"""What a page shows of segmentation: confusion matrices, and images with masks over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusion.palette import MASKS, web
from pipelines.views.report.model import PerImage
from segmentation.iou import Confusion, class_iou


@dataclass(frozen=True)
class Segmented:
    """One cell's masks: where they lie, and each image's confusion, ``images x n x n``."""

    seed: int
    folder: Path
    names: tuple[str, ...]
    confusions: NDArray[np.int64]

    @property
    def total(self) -> Confusion:
        """The confusion over the whole test set."""
        summed: Confusion = self.confusions.sum(axis=0)
        return summed

    @property
    def miou(self) -> dict[str, float]:
        """By image, over the classes that its true mask shows."""
        iou = class_iou(self.confusions)
        known = np.isfinite(iou)
        means = np.where(known, iou, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return dict(zip(self.names, map(float, means), strict=True))


def read_segmented(folder: Path, seed: int) -> Segmented:
    """Read a finished stage `segment`."""
    with np.load(folder / "confusion.npz", allow_pickle=False) as stored:
        names = tuple(str(name) for name in stored["names"])
        return Segmented(seed, folder, names, stored["confusion"])


def summed(cells: Mapping[str, Sequence[Segmented]]) -> dict[str, Confusion]:
    """Return by method the pixels of all its seeds."""
    return {
        method: np.sum([cell.total for cell in seeds], axis=0, dtype=np.int64)
        for method, seeds in cells.items()
        if seeds
    }


def scores_of(cells: Mapping[str, Sequence[Segmented]]) -> dict[str, list[PerImage]]:
    """Return by method the mIoU of each image, a mapping a seed."""
    return {method: [cell.miou for cell in seeds] for method, seeds in cells.items()}


def class_colours(classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return name and colour of every class that is drawn; class 0 stays clear."""
    pairs = zip(classes[1:], MASKS[1:], strict=False)
    return tuple((name, web(colour)) for name, colour in pairs)
