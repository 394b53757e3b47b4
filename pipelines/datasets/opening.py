"""Datasets opened: pairs, labels and splits are listed and matched by name; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fusion.errors import InputError
from fusion.pairs import ImagePair, list_pairs
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.split_files import SPLITS, read_scenes, read_split
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.layout import layout_of


def open_dataset(spec: DatasetSpec) -> Dataset:
    """List a dataset whose root and split are settled; nothing is decoded.

    Raises InputError for a missing folder (with the expected tree), a pair without its partner,
    a missing label, or a split that names unknown pairs or is empty.
    """
    root = _root(spec)
    if not spec.comes_split:
        pairs = _pairs(spec, root, "")
        labels = _labels(spec, root / spec.labels, pairs) if spec.labels else {}
        return Dataset(spec, pairs, labels, read_split(spec, pairs), read_scenes(spec))
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
    return Dataset(spec, pairs, labels, splits, read_scenes(spec))


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
    """Yield every folder of a split and what its files are called, "" after a single file."""
    for folders in _sources(spec, split).values():
        yield from ((folder, "*.png") for folder in folders)
    if spec.labels:
        yield spec.labels.replace("{split}", split), layout_of(spec.layout).label_files


def _root(spec: DatasetSpec) -> Path:
    root = spec.root
    if root is None or not root.is_dir():
        where = "its scenes, which are not drawn yet," if root is None else str(root)
        source = f" (source: {spec.source})" if spec.source else ""
        raise InputError(
            f'The root of dataset "{spec.name}", {where}, does not exist; put the data there'
            f"{source} or give another root. Expected:\n{expected_tree(spec)}"
        )
    for place, files in _folders(spec, "train"):
        if not ((root / place).is_dir() if files else (root / place).is_file()):
            kind = "folder" if files else "file"
            raise InputError(
                f'The dataset "{spec.name}" has no {kind} {root / place}; put it there or name '
                f"the {kind} in the dataset's YAML. Expected:\n{expected_tree(spec)}"
            )
    return root


def expected_tree(spec: DatasetSpec) -> str:
    """Return the folders that `spec` expects, a line each."""
    splits = ("train", "test") if spec.comes_split else ("",)
    places = (place for split in splits for place in _folders(spec, split))
    lines = [f"    {'/'.join(filter(None, place))}" for place in places]
    return "\n".join([f"  {spec.root or spec.name}/", *lines])


def _labels(spec: DatasetSpec, folder: Path, pairs: Mapping[str, ImagePair]) -> dict[str, Path]:
    layout = layout_of(spec.layout)
    found = layout.find(folder) if layout.find else {}
    missing = sorted(pairs.keys() - found.keys())
    if missing:
        empty = "as an empty file" if layout.label_files else "as one that no annotation names"
        raise InputError(
            f"{folder} has no label for {missing[0]} ({len(missing)} of {len(pairs)} are missing); "
            f"add it, for an image without objects {empty}."
        )
    return {name: found[name] for name in pairs}
