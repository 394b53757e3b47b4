"""A split file drawn for a dataset: its scenes found, its labels counted, all of it stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.datasets.dataset import Dataset, Progress
from pipelines.datasets.inspection import label_counts
from pipelines.datasets.split_files import write_folds, write_split
from pipelines.datasets.splitting import folds, splits
from pipelines.datasets.splitting.near_duplicates import scenes_of
from pipelines.specs.dataset import SplitSpec


@dataclass(frozen=True)
class Drawing:
    """What was drawn: the names of each part (split or fold), the scenes, and the labels' shares.

    `shares` is by part and class.
    """

    parts: Mapping[str, Sequence[str]]
    scenes: Sequence[Sequence[str]]
    shares: Mapping[str, Mapping[str, float]]


def draw_file(
    path: Path,
    dataset: Dataset,
    spec: SplitSpec,
    pairs_digest: str,
    on_progress: Progress | None = None,
) -> Drawing:
    """Draw a dataset's split, or its folds, and write them with all that they were drawn by."""
    if dataset.spec.near_duplicates == "found":
        scenes = scenes_of(dataset.pairs, on_progress)
    else:
        scenes = _known(dataset)
    counts = label_counts(dataset)
    facts: dict[str, Any] = {"version": splits.SPLIT_VERSION, "seed": spec.seed}
    if spec.folds is not None:
        made = folds.draw_folds(scenes, spec.folds, spec.seed, counts)
        parts, shares = {f"fold {n}": of for n, of in enumerate(made.test, 1)}, made.shares(counts)
        facts |= {"method": folds.METHOD, "draws": folds.DRAWS, "class_shares": shares}
        write_folds(path, made.entries, scenes, **facts, pairs_digest=pairs_digest)
        return Drawing(parts, scenes, shares)
    drawn = splits.draw_split(scenes, spec.ratios, spec.seed, counts)
    shares = splits.class_shares(drawn.splits, counts)
    facts |= {"method": splits.METHOD, "ratios": list(spec.ratios), "draws": drawn.draws}
    facts |= {"class_shares": shares, "pairs_digest": pairs_digest}
    write_split(path, drawn.splits, scenes, **facts)
    return Drawing(drawn.splits, scenes, shares)


def _known(dataset: Dataset) -> list[list[str]]:
    """Return the scenes that somebody has named; every other image is its own."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in dataset.pairs:
        scene = dataset.scenes.get(name)
        groups.setdefault((name, "alone") if scene is None else (scene,), []).append(name)
    return list(groups.values())
