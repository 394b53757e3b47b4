"""Datasets opened: pairs, labels and splits are listed and matched by name; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fusion.errors import InputError
from fusion.pairs import ImagePair, list_images, list_pairs
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.splits import SPLITS, read_split
from pipelines.specs.dataset import DatasetSpec


def open_dataset(spec: DatasetSpec) -> Dataset:
    """List a dataset whose root and split are settled; nothing is decoded.

    Raises InputError for a missing folder (with the expected tree), a pair without its partner,
    a missing label, or a split that names unknown pairs or is empty.
    """
    root = _root(spec)
    if not spec.comes_split:
        pairs = _pairs(spec, root, "")
        labels = _labels(spec, root / spec.labels, pairs) if spec.labels else {}
        return Dataset(spec, pairs, labels, read_split(spec, pairs))
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
