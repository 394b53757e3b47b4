"""Datasets as experiments see them: pairs, labels and splits, opened, checked and indexed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from detection.datasets import Annotation, Box, read_voc, read_yolo
from fusion.errors import InputError, did_you_mean
from fusion.pairs import ImagePair, check_same_size, list_images, list_pairs, read_rgb
from pipelines.specs.experiment import DatasetSpec
from pipelines.specs.loading import read_yaml
from pipelines.store.digests import FileDigests, digest, names_digest
from segmentation.datasets import read_mask

SPLITS = ("train", "val", "test")
SPLIT_FACTS = ("version", "method", "seed", "ratios", "pairs_digest")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Dataset:
    """Pairs and labels by name, and the names of each split."""

    spec: DatasetSpec
    pairs: Mapping[str, ImagePair]
    labels: Mapping[str, Path]
    splits: Mapping[str, tuple[str, ...]]

    def pairs_digest(self, digests: FileDigests, names: tuple[str, ...] | None = None) -> str:
        """Return the digest of the pixels' files of `names` (default: all pairs)."""
        chosen = [self.pairs[name] for name in (self.pairs if names is None else names)]
        known = digests.of(path for pair in chosen for path in (pair.infrared, pair.visible))
        return names_digest({p.name: known[p.infrared] + known[p.visible] for p in chosen})

    def labels_digest(self, digests: FileDigests) -> str:
        """Return the digest of the label files."""
        known = digests.of(self.labels.values())
        return names_digest({name: known[path] for name, path in self.labels.items()})

    @property
    def test(self) -> tuple[str, ...]:
        """The names of the test split; without a split, all."""
        return self.splits["test"] if self.splits else tuple(self.pairs)

    def part_of(self, name: str) -> str:
        """Return the part of the dataset that a pair comes from, "" when there are no parts."""
        return name.partition("-")[0] if self.spec.parts else ""

    def split_digest(self) -> str:
        """Return the digest of which name is in which split."""
        return digest({name: sorted(names) for name, names in self.splits.items()})


def open_dataset(spec: DatasetSpec) -> Dataset:
    """List a dataset whose root and split are settled; nothing is decoded.

    Raises InputError for a missing folder (with the expected tree), a pair without its partner,
    a missing label, or a split that names unknown pairs or is empty.
    """
    root = _root(spec)
    if not spec.comes_split:
        pairs = _pairs(spec, root, "")
        labels = _labels(spec, root / spec.labels, pairs) if spec.labels else {}
        return Dataset(spec, pairs, labels, _read_split(spec, pairs))
    pairs, labels, splits = {}, {}, {}
    for split in SPLITS:
        folders = [root / folder for both in _sources(spec, split).values() for folder in both]
        if split == "val" and not any(folder.exists() for folder in folders):
            continue
        found = _pairs(spec, root, split)
        twice = sorted(found.keys() & pairs.keys())
        if twice:
            raise InputError(
                f'"{twice[0]}" is in {split} and in another split of {root}; '
                f"a pair may be in one split only, so rename or remove one."
            )
        pairs |= found
        splits[split] = tuple(found)
        if spec.labels:
            labels |= _labels(spec, root / spec.labels.replace("{split}", split), found)
    return Dataset(spec, pairs, labels, splits)


def _pairs(spec: DatasetSpec, root: Path, split: str) -> dict[str, ImagePair]:
    """Return the pairs of a split by name, with the parts of the dataset put together."""
    found = {}
    for part, (infrared, visible) in _sources(spec, split).items():
        for pair in list_pairs(root / infrared, root / visible):
            name = f"{part}-{pair.name}" if part else pair.name
            found[name] = replace(pair, name=name)
    return found


def _sources(spec: DatasetSpec, split: str) -> dict[str, tuple[str, str]]:
    """Return the folders of infrared and visible images of a split by part, "" without parts."""
    # Not str.format: other braces in a folder's name are part of it.
    infrared, visible = (f.replace("{split}", split) for f in (spec.infrared, spec.visible))
    return {
        part: (infrared.replace("{part}", part), visible.replace("{part}", part))
        for part in spec.parts or ("",)
    }


def _folders(spec: DatasetSpec, split: str) -> Iterator[tuple[str, str]]:
    """Yield every folder of a split, and what its files are called."""
    for folders in _sources(spec, split).values():
        yield from ((folder, "*.png") for folder in folders)
    if spec.labels:
        suffix = {"m3fd": "*.xml", "yolo": "*.txt", "msrs": "*.png"}[spec.layout]
        yield spec.labels.replace("{split}", split), suffix


def _root(spec: DatasetSpec) -> Path:
    root = spec.root
    if root is None or not root.is_dir():
        where = "its scenes, which are not drawn yet," if root is None else str(root)
        source = f" (source: {spec.source})" if spec.source else ""
        raise InputError(
            f'The root of dataset "{spec.name}", {where}, does not exist; put the data there'
            f"{source} or give another root. Expected:\n{expected_tree(spec)}"
        )
    for folder, _ in _folders(spec, "train"):
        if not (root / folder).is_dir():
            raise InputError(
                f'The dataset "{spec.name}" has no folder {root / folder}; put it there or name '
                f"the folder in the dataset's YAML. Expected:\n{expected_tree(spec)}"
            )
    return root


def expected_tree(spec: DatasetSpec) -> str:
    """Return the folders that `spec` expects, a line each."""
    splits = ("train", "test") if spec.comes_split else ("",)
    lines = [f"    {'/'.join(place)}" for split in splits for place in _folders(spec, split)]
    return "\n".join([f"  {spec.root or spec.name}/", *lines])


def _labels(spec: DatasetSpec, folder: Path, pairs: Mapping[str, ImagePair]) -> dict[str, Path]:
    suffix = {"m3fd": ".xml", "yolo": ".txt"}.get(spec.layout)
    if suffix is None:
        found = list_images(folder)
    else:
        found = {path.stem: path for path in sorted(folder.glob(f"*{suffix}"))}
    missing = sorted(pairs.keys() - found.keys())
    if missing:
        raise InputError(
            f"{folder} has no label for {missing[0]} ({len(missing)} of {len(pairs)} are missing); "
            f"add it, for an image without objects as an empty file."
        )
    return {name: found[name] for name in pairs}


def _read_split(spec: DatasetSpec, pairs: Mapping[str, ImagePair]) -> Mapping[str, tuple[str, ...]]:
    if spec.split is None or spec.split.file is None:
        return {}
    path = spec.split.file
    if not path.is_file():
        raise InputError(
            f"The split file {path} does not exist; make it with fuse-then data split."
        )
    data = read_yaml(path)
    splits = {name: _names(path, data, name) for name in SPLITS}
    counts = Counter(name for names in splits.values() for name in names)
    unknown = sorted(counts.keys() - pairs.keys())
    if unknown:
        raise InputError(
            f'{path} names "{unknown[0]}" ({len(unknown)} such), which the dataset "{spec.name}" '
            f"does not have; use the split of this dataset."
        )
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(f'{path} names "{twice[0]}" more than once; keep one of them.')
    strange = sorted(str(key) for key in data.keys() - {*SPLITS, *SPLIT_FACTS})
    if strange:
        hint = did_you_mean(strange[0], list(SPLITS))
        raise InputError(f'{path} has the unknown key "{strange[0]}".{hint}')
    for name in ("train", "test"):
        if not splits[name]:
            raise InputError(f'{path} has an empty split "{name}"; list at least one name.')
    return {name: names for name, names in splits.items() if names}


def _names(path: Path, data: Mapping[str, Any], split: str) -> tuple[str, ...]:
    names = data.get(split) or []
    if not isinstance(names, list):
        raise InputError(f'{path}: "{split}" must be a list of names; write "- NAME".')
    for name in names:
        if not isinstance(name, str):  # YAML reads 00010 as the number 8
            raise InputError(f"{path} lists {name!r} without quotes; write names as text.")
    return tuple(names)


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


def _inspect_one(dataset: Dataset, name: str) -> tuple[dict[str, Any], Counter[str]] | str:
    pair, classes = dataset.pairs[name], dataset.spec.classes
    try:
        infrared, visible = read_rgb(pair.infrared), read_rgb(pair.visible)
        check_same_size(pair, infrared, visible)
        height, width = visible.shape[:2]
        entry: dict[str, Any] = {"width": width, "height": height}
        counts: Counter[str] = Counter()
        if dataset.spec.task == "detection":
            found = _reader(dataset.spec)(dataset.labels[name], classes, (width, height))
            entry["boxes"] = [[b.label, b.x1, b.y1, b.x2, b.y2] for b in found.boxes]
            counts.update(classes[box.label] for box in found.boxes)
        elif dataset.spec.task == "segmentation":
            mask = read_mask(dataset.labels[name], len(classes), (width, height))
            pixels = np.bincount(mask.ravel(), minlength=len(classes))
            counts.update({c: int(n) for c, n in zip(classes, pixels, strict=True) if n})
        return entry, counts
    except InputError as error:
        return str(error)


def _reader(spec: DatasetSpec) -> Callable[..., Annotation]:
    return read_voc if spec.layout == "m3fd" else read_yolo


def boxes_of(index: Mapping[str, Any]) -> dict[str, Annotation]:
    """Return the boxes of an index as `inspect` made it."""
    return {
        name: Annotation(entry["width"], entry["height"], tuple(Box(*b) for b in entry["boxes"]))
        for name, entry in index.items()
    }


def write_split(path: Path, splits: Mapping[str, list[str]], **facts: Any) -> None:
    """Write a split file: version, how it was made, and the names of each split."""
    text = yaml.safe_dump({**facts, **{name: splits[name] for name in SPLITS}}, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
