"""Train, validation and test drawn by seed, near-duplicate neighbours kept together.

M3FD has no published split, and its frames come from a few drives: consecutive frames show
nearly the same picture. A split that scatters them tests on what it trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.pairs import ImagePair, read_gray
from pipelines.datasets.dataset import SPLITS, Progress

SPLIT_VERSION = 1
THUMBNAIL = 16
SAME_SCENE = 0.9
METHOD = (
    f"names in order; a pair joins its predecessor's scene when the {THUMBNAIL}x{THUMBNAIL} "
    f"thumbnails of both modalities correlate above {SAME_SCENE}; whole scenes, largest first "
    f"among a seeded order, go to the split that lacks most"
)


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
