"""Files that say which pair is in which split, and which images are of one scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from fusion.errors import InputError, did_you_mean
from fusion.pairs import ImagePair
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import read_yaml

SPLITS = ("train", "val", "test")
SPLIT_FACTS = ("version", "method", "seed", "ratios", "pairs_digest")


def read_split(spec: DatasetSpec, pairs: Mapping[str, ImagePair]) -> Mapping[str, tuple[str, ...]]:
    """Return the names of each split from the dataset's split file, nothing without a file.

    Raises InputError for a file that is missing or malformed, an unknown or repeated name, or a
    train or test split without names.
    """
    if spec.split is None or spec.split.file is None:
        return {}
    path = spec.split.file
    if not path.is_file():
        raise InputError(
            f"The split file {path} does not exist; make it with fuse-then data split."
        )
    data = _content(path)
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
    strange = sorted(str(key) for key in data.keys() - {*SPLITS, *SPLIT_FACTS, "scenes"})
    if strange:
        hint = did_you_mean(strange[0], list(SPLITS))
        raise InputError(f'{path} has the unknown key "{strange[0]}".{hint}')
    for name in ("train", "test"):
        if not splits[name]:
            raise InputError(f'{path} has an empty split "{name}"; list at least one name.')
    return {name: names for name, names in splits.items() if names}


def read_scenes(spec: DatasetSpec) -> Mapping[str, str]:
    """Return the scene of each image, by name, as far as a file says; other images are their own.

    Raises InputError for a file that is missing or malformed, or that names an image twice.
    """
    if spec.near_duplicates == "none":
        return {}
    path = spec.near_duplicates if spec.near_duplicates != "found" else None
    path = path or (spec.split.file if spec.split is not None else None)
    if path is None:
        return {}
    if not path.is_file():
        raise InputError(
            f"The file {path}, which says what images are of one scene, does not exist; name "
            f"another as {spec.name}.near_duplicates, or run the experiment again: what is not "
            f"named is found."
        )
    groups = _content(path).get("scenes") or {}
    if not isinstance(groups, dict):
        raise InputError(f'{path}: "scenes" must hold a list of names by scene; write NAME: [...].')
    found: dict[str, str] = {}
    for scene in groups:
        for name in _names(path, groups, scene):
            if name in found:
                raise InputError(f'{path} names "{name}" in two scenes; keep it in one of them.')
            found[name] = str(scene)
    return found


def _names(path: Path, data: Mapping[str, Any], split: str) -> tuple[str, ...]:
    names = data.get(split) or []
    if not isinstance(names, list):
        raise InputError(f'{path}: "{split}" must be a list of names; write "- NAME".')
    for name in names:
        if not isinstance(name, str):  # YAML reads 00010 as the number 8
            raise InputError(f"{path} lists {name!r} without quotes; write names as text.")
    return tuple(names)


def _content(path: Path) -> dict[str, Any]:
    """Read a file once as long as it stays as it is: every cell of an experiment asks for it."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int, _size: int) -> dict[str, Any]:
    return read_yaml(path)


def write_split(
    path: Path, splits: Mapping[str, list[str]], scenes: Sequence[Sequence[str]], **facts: Any
) -> None:
    """Write a split file: how it was made, the names of each split, and those of each scene."""
    parts = {name: splits[name] for name in SPLITS}
    _write(path, {**facts, **parts, "scenes": by_first(scenes)})


def write_scenes(path: Path, scenes: Sequence[Sequence[str]], **facts: Any) -> None:
    """Write a file of scenes alone, which `read_scenes` reads."""
    _write(path, {**facts, "scenes": by_first(scenes)})


def by_first(scenes: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return scenes by their names: each is called as its first image."""
    return {scene[0]: list(scene) for scene in scenes}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
