"""What a page shows of segmentation: confusion matrices, and images with masks over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion.palette import MASKS, web
from pipelines.tasks.segmentation import Segmented
from pipelines.views.report.model import PerImage
from segmentation.iou import Confusion, class_iou


@dataclass(frozen=True)
class Masks:
    """One cell's masks and confusions."""

    seed: int
    kept: Segmented

    @property
    def folder(self) -> Path:
        """Where the cell's files lie."""
        return self.kept.folder

    @property
    def total(self) -> Confusion:
        """The confusion over the whole test set."""
        summed: Confusion = self.kept.confusions.sum(axis=0)
        return summed

    @property
    def miou(self) -> dict[str, float]:
        """By image, over the classes that its true mask shows."""
        iou = class_iou(self.kept.confusions)
        known = np.isfinite(iou)
        means = np.where(known, iou, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return dict(zip(self.kept.names, map(float, means), strict=True))


def summed(cells: Mapping[str, Sequence[Masks]]) -> dict[str, Confusion]:
    """Return by method the pixels of all its seeds."""
    return {
        method: np.sum([cell.total for cell in seeds], axis=0, dtype=np.int64)
        for method, seeds in cells.items()
        if seeds
    }


def scores_of(cells: Mapping[str, Sequence[Masks]]) -> dict[str, list[PerImage]]:
    """Return by method the mIoU of each image, a mapping a seed."""
    return {method: [cell.miou for cell in seeds] for method, seeds in cells.items()}


def class_colours(classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return name and colour of every class that is drawn; class 0 stays clear."""
    pairs = zip(classes[1:], MASKS[1:], strict=False)
    return tuple((name, web(colour)) for name, colour in pairs)
