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
from pipelines.specs.dataset import DatasetSpec, SplitSpec
from pipelines.specs.loading import read_yaml

SPLITS = ("train", "val", "test")
SPLIT_FACTS = ("version", "method", "seed", "ratios", "draws", "class_shares", "pairs_digest")
Scenes = Sequence[Sequence[str]]
"""The names of each scene's images."""

KEYS = {*SPLITS, *SPLIT_FACTS, "scenes", "folds"}


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
    strange = sorted(str(key) for key in data.keys() - KEYS)
    if strange:
        hint = did_you_mean(strange[0], list(SPLITS))
        raise InputError(f'{path} has the unknown key "{strange[0]}".{hint}')
    splits = _splits(path, data, spec.split)
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
    for name in ("train", "test") if splits else ():
        if not splits[name]:
            raise InputError(f'{path} has an empty split "{name}"; list at least one name.')
    return {name: names for name, names in splits.items() if names}


def _splits(path: Path, data: Mapping[str, Any], spec: SplitSpec) -> dict[str, tuple[str, ...]]:
    """Return the names of each split; of folds those of the chosen one, before that none."""
    given = data.get("folds")
    if (given is None) != (spec.folds is None):
        held = "one split; take split.folds out" if given is None else "folds; give split.folds"
        raise InputError(f"{path} holds {held}, or name another file.")
    if given is None or spec.folds is None:
        return {name: _names(path, data, name) for name in SPLITS}
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InputError(f'{path}: "folds" must be a list; write "- test: [NAME, ...]" for each.')
    if len(given) != spec.folds:
        raise InputError(f"{path} holds {len(given)} folds, not {spec.folds}; give split.folds so.")
    tests = [_names(path, one, "test") for one in given]
    together = Counter(name for names in tests for name in names)
    twice = [name for name, count in together.items() if count > 1]
    if twice or not all(tests):
        wrong = f'tests "{twice[0]}" in two folds' if twice else "has a fold that tests nothing"
        raise InputError(f"{path} {wrong}; every image is to be tested in one fold.")
    if spec.fold is None:
        return {}
    val = _names(path, given[spec.fold], "val") if spec.validated else ()
    apart = {*tests[spec.fold], *val}
    train = tuple(name for name in sorted(together) if name not in apart)
    return {"train": train, "val": val, "test": tests[spec.fold]}


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


def write_split(path: Path, splits: Mapping[str, list[str]], scenes: Scenes, **facts: Any) -> None:
    """Write a split file: how it was made, the names of each split, and those of each scene."""
    parts = {name: splits[name] for name in SPLITS}
    _write(path, {**facts, **parts, "scenes": by_first(scenes)})


def write_folds(
    path: Path, folds: Sequence[Mapping[str, list[str]]], scenes: Scenes, **facts: Any
) -> None:
    """Write a file of folds: what each tests, and what may be taken out of its train as val."""
    _write(path, {**facts, "folds": [dict(one) for one in folds], "scenes": by_first(scenes)})


def write_scenes(path: Path, scenes: Scenes, **facts: Any) -> None:
    """Write a file of scenes alone, which `read_scenes` reads."""
    _write(path, {**facts, "scenes": by_first(scenes)})


def by_first(scenes: Scenes) -> dict[str, list[str]]:
    """Return scenes by their names: each is called as its first image."""
    return {scene[0]: list(scene) for scene in scenes}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
