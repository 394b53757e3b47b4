"""Score folders of fused images: every image's values, their means, and what is undefined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.pairs import ImagePair, list_images
from fusion.quality.reading import FusedPair, score_pairs
from fusion.quality.settings import Convention
from fusion.torch_tools import resolve_device


@dataclass(frozen=True)
class Scores:
    """Values of ``images x metrics``, nan where undefined, and how often and why they are."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float64]
    reasons: Mapping[str, Counter[str]]


def score_images(
    pairs: Sequence[ImagePair],
    fused: Mapping[str, Path],
    metrics: Sequence[str],
    convention: Convention,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score the fused image of every pair, found in `fused` by the pair's name.

    Raises InputError, naming files, for images that cannot be read, are not 8-bit, or differ in
    size from their pair.
    """

    def tell(done: int) -> None:
        if on_progress is not None:
            on_progress(done, len(pairs))

    resolve_device(device)
    files = [FusedPair(p.name, fused[p.name], p.infrared, p.visible) for p in pairs]
    found = list(score_pairs(files, metrics, convention, device=device, on_progress=tell))
    values = np.array([[one.values[metric] for metric in metrics] for one in found])
    reasons = {
        metric: Counter(one.undefined[metric] for one in found if metric in one.undefined)
        for metric in metrics
    }
    return Scores(tuple(one.name for one in found), tuple(metrics), values, reasons)


def fused_images(folder: Path, pairs: Sequence[ImagePair]) -> dict[str, Path]:
    """Return the fused image of every pair; InputError naming the pairs that have none."""
    found = list_images(folder)
    missing = [pair for pair in pairs if pair.name not in found]
    if missing:
        raise InputError(
            f"{folder} has no fused image for {missing[0].infrared.name} ({len(missing)} of "
            f"{len(pairs)} are missing); images are matched by file stem, so fuse these pairs, "
            f"too, or score a folder of the pairs that you have."
        )
    return {pair.name: found[pair.name] for pair in pairs}


def summary(scores: Scores) -> dict[str, dict[str, Any]]:
    """Return mean and number of defined images per metric, and why others are not, as JSON is."""
    found = {}
    for metric, column in zip(scores.metrics, scores.values.T, strict=True):
        known = column[np.isfinite(column)]
        entry: dict[str, Any] = {
            "mean": float(known.mean()) if known.size else None,
            "n": int(known.size),
        }
        if scores.reasons[metric]:
            entry["undefined"] = dict(scores.reasons[metric])
        found[metric] = entry
    return found
