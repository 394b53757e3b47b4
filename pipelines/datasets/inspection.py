"""Datasets looked through: every image and label is decoded, counted and checked."""

from __future__ import annotations

import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from fusion.pairs import check_same_size, read_rgb
from pipelines.datasets.dataset import Dataset, Progress
from pipelines.specs.layout import Labels, layout_of

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Inspection:
    """What decoding every file of a dataset has shown."""

    problems: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    histogram: dict[str, Counter[str]] = field(default_factory=dict)
    index: dict[str, dict[str, Any]] = field(default_factory=dict)


def inspect(dataset: Dataset, on_progress: Progress | None = None) -> Inspection:
    """Decode every image and label; collect sizes, class counts and every problem with its file.

    The histogram counts boxes (detection) or pixels (segmentation) per class and split.
    """
    result = Inspection()
    split_of = {name: split for split, names in dataset.splits.items() for name in names}
    with ThreadPoolExecutor(max_workers=4) as pool:
        outcomes = pool.map(partial(_inspect_one, dataset), dataset.pairs)
        for done, (name, outcome) in enumerate(zip(dataset.pairs, outcomes, strict=True), 1):
            if isinstance(outcome, str):
                result.problems.append(outcome)
            else:
                entry, counts = outcome
                result.index[name] = entry
                result.sizes[f"{entry['width']}x{entry['height']}"] += 1
                place = result.histogram.setdefault(split_of.get(name, "unused"), Counter())
                place.update(counts)
            if on_progress:
                on_progress(done, len(dataset.pairs))
    return result


def label_counts(dataset: Dataset) -> dict[str, Counter[str]]:
    """Return each image's objects of each class, of masks 1 where it shows; {} without labels.

    Raises InputError for the first label that cannot be read.
    """
    layout = layout_of(dataset.spec.layout)
    if layout.read is None or not dataset.labels:
        return {}
    found = {}
    for name, path in dataset.labels.items():
        size = _size(dataset.pairs[name].visible)
        counts = layout.read(path, name, dataset.spec.classes, size)[1]
        found[name] = Counter(set(counts)) if layout.task == "segmentation" else counts
    return found


def _size(path: Path) -> tuple[int, int]:
    """Return an image's width and height, of a PNG from its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(24)
    if head.startswith(PNG) and len(head) == 24:
        width, height = struct.unpack(">II", head[16:])
        return width, height
    height, width = read_rgb(path).shape[:2]
    return width, height


def _inspect_one(dataset: Dataset, name: str) -> Labels | str:
    pair, classes = dataset.pairs[name], dataset.spec.classes
    try:
        infrared, visible = read_rgb(pair.infrared), read_rgb(pair.visible)
        check_same_size(pair, infrared, visible)
        height, width = visible.shape[:2]
        entry: dict[str, Any] = {"width": width, "height": height}
        read = layout_of(dataset.spec.layout).read
        if read is None or not dataset.labels:
            return entry, Counter()
        found, counts = read(dataset.labels[name], name, classes, (width, height))
        return entry | found, counts
    except InputError as error:
        return str(error)
