"""Train, validation and test drawn by seed, near-duplicate neighbours kept together.

M3FD has no published split, and its frames come from a few drives: consecutive frames show
nearly the same picture. A split that scatters them tests on what it trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion.errors import InputError
from pipelines.datasets.near_duplicates import RULE
from pipelines.datasets.split_files import SPLITS

SPLIT_VERSION = 1
METHOD = (
    f"{RULE}; whole scenes, largest first among a seeded order, go to the split that lacks most"
)


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
