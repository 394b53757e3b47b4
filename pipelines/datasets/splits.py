"""Train, validation and test drawn by seed, near-duplicate neighbours kept together.

M3FD has no published split, and its frames come from a few drives: consecutive frames show
nearly the same picture. A split that scatters them tests on what it trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from fusion.errors import InputError, did_you_mean
from fusion.pairs import ImagePair, read_gray
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import read_yaml

SPLITS = ("train", "val", "test")
SPLIT_FACTS = ("version", "method", "seed", "ratios", "pairs_digest")
SPLIT_VERSION = 1
THUMBNAIL = 16
SAME_SCENE = 0.9
METHOD = (
    f"names in order; a pair joins its predecessor's scene when the {THUMBNAIL}x{THUMBNAIL} "
    f"thumbnails of both modalities correlate above {SAME_SCENE}; whole scenes, largest first "
    f"among a seeded order, go to the split that lacks most"
)
Progress = Callable[[int, int], None]


def scenes_of(
    pairs: Mapping[str, ImagePair], on_progress: Progress | None = None
) -> list[list[str]]:
    """Group consecutive names whose images are near-duplicates, in both modalities at once."""
    groups: list[list[str]] = []
    before: NDArray[np.float64] | None = None
    for done, (name, pair) in enumerate(pairs.items(), 1):
        here = np.stack([_thumbnail(path) for path in (pair.infrared, pair.visible)])
        if before is not None and _same_scene(before, here):
            groups[-1].append(name)
        else:
            groups.append([name])
        before = here
        if on_progress:
            on_progress(done, len(pairs))
    return groups


def draw_split(
    groups: Sequence[Sequence[str]], ratios: tuple[int, int, int], seed: int
) -> dict[str, list[str]]:
    """Assign whole groups to train, val and test so that the sizes come near `ratios`.

    Deterministic in `seed`; every split with a positive ratio gets a group. Raises InputError when
    there are too few groups for that, or when no ratio is positive.
    """
    asked = sum(ratio > 0 for ratio in ratios)
    if min(ratios) < 0 or not asked:
        raise InputError(f"The ratios {ratios} are none; give three numbers such as 8 1 1.")
    if len(groups) < asked:
        raise InputError(
            f"The pairs form only {len(groups)} scenes of near-duplicate frames, too few for "
            f"{asked} splits of whole scenes; add images, or name a split file of your own."
        )
    total = sum(len(group) for group in groups)
    wanted = dict(zip(SPLITS, (total * ratio / sum(ratios) for ratio in ratios), strict=True))
    order = np.random.default_rng(seed).permutation(len(groups))
    # The large groups are placed first: a large one at the end would overshoot its split.
    ranked = sorted(order, key=lambda number: -len(groups[number]))
    result: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number in ranked:
        lacking = {
            split: (wanted[split] - len(result[split])) / max(wanted[split], 1e-9)
            for split in SPLITS
            if wanted[split] > 0
        }
        result[max(lacking, key=lambda split: lacking[split])].extend(groups[number])
    return {split: sorted(names) for split, names in result.items()}


def _thumbnail(path: Path) -> NDArray[np.float64]:
    image = cv2.resize(read_gray(path), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    values = image.astype(np.float64).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-9)


def _same_scene(before: NDArray[np.float64], here: NDArray[np.float64]) -> bool:
    return bool((before * here).sum(axis=1).min() > SAME_SCENE)


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


def write_split(path: Path, splits: Mapping[str, list[str]], **facts: Any) -> None:
    """Write a split file: version, how it was made, and the names of each split."""
    text = yaml.safe_dump({**facts, **{name: splits[name] for name in SPLITS}}, sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
