"""What labels become: an entry in the index of a dataset, and a count of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detection.datasets import Annotation, Box, Reader
from fusion.pairs import check_listed
from pipelines.specs.layout import Find, Labels, Read, Size
from segmentation.datasets import read_mask


def files_ending(suffix: str) -> Find:
    """Return what finds one label file a name, all with the same ending."""

    def find(folder: Path) -> Mapping[str, Path]:
        found = sorted(folder.glob(f"*{suffix}"))
        for path in found:
            check_listed(path)
        return {path.stem: path for path in found}

    return find


def one_image_a_file(read: Reader) -> Read:
    """Return what reads boxes by a reader of files that hold the boxes of one image."""
    return lambda path, _name, classes, size: boxes(read(path, classes, size), classes)


def boxes(found: Annotation, classes: Sequence[str]) -> Labels:
    """Return the boxes of one image as labels; `boxes_of` is the way back."""
    rows = [[box.label, box.x1, box.y1, box.x2, box.y2] for box in found.boxes]
    return {"boxes": rows}, Counter(classes[box.label] for box in found.boxes)


def boxes_of(index: Mapping[str, Any]) -> dict[str, Annotation]:
    """Return the boxes of a dataset's index by name."""
    return {
        name: Annotation(entry["width"], entry["height"], tuple(Box(*b) for b in entry["boxes"]))
        for name, entry in index.items()
    }


def mask(path: Path, _name: str, classes: Sequence[str], size: Size) -> Labels:
    """Read a mask of class ids; its pixels are counted, and the index holds nothing of it."""
    pixels = np.bincount(read_mask(path, len(classes), size).ravel(), minlength=len(classes))
    return {}, Counter({c: int(n) for c, n in zip(classes, pixels, strict=True) if n})
