"""Which images are of one scene: near-duplicate neighbours, found by their thumbnails.

Frames of a drive that follow one another show nearly the same picture. A split that scatters them
tests on what it trained on, and a test set of many of them tells less than its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.pairs import ImagePair, read_gray
from pipelines.datasets.dataset import Progress

THUMBNAIL = 16
SAME_SCENE = 0.9
VERSION = 1
"""Raised whenever the same images would be grouped otherwise."""
RULE = (
    f"names in order; a pair joins its predecessor's scene when the {THUMBNAIL}x{THUMBNAIL} "
    f"thumbnails of both modalities correlate above {SAME_SCENE}"
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


def _thumbnail(path: Path) -> NDArray[np.float64]:
    image = cv2.resize(read_gray(path), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    values = image.astype(np.float64).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-9)


def _same_scene(before: NDArray[np.float64], here: NDArray[np.float64]) -> bool:
    return bool((before * here).sum(axis=1).min() > SAME_SCENE)
