"""Train, validation and test drawn by seed, near-duplicate neighbours kept together.

M3FD's authors published no split, and its frames come from a few drives: consecutive frames show
nearly the same picture. A split that scatters them tests on what it trained on; one whose test
images are mostly one drive tells of that drive alone, and one without buses nothing of buses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusion.errors import InputError
from pipelines.datasets.split_files import SPLITS
from pipelines.datasets.splitting.near_duplicates import RULE

SPLIT_VERSION = 2
DRAWS = 1000
LARGEST = 1 / 3
LEAST = 1 / 2
METHOD = (
    f"{RULE}; val and test are filled in turn with whole scenes drawn by the seed, a scene of "
    f"more than a third of a split's images stays in train, and a draw in which val or test has "
    f"less than half its share of a class is drawn again, at most {DRAWS} times; of a class count "
    f"the objects, or of masks the images that show it"
)
Counts = Mapping[str, Counter[str]]
"""How many labels of each class an image has, by name."""


@dataclass(frozen=True)
class Drawn:
    """The names of each split, and how many draws it took."""

    splits: dict[str, list[str]]
    draws: int


def draw_split(
    groups: Sequence[Sequence[str]],
    ratios: tuple[int, int, int],
    seed: int,
    counts: Counts | None = None,
) -> Drawn:
    """Draw val and test from whole scenes, near `ratios` in size and in the labels `counts`.

    Deterministic in `seed`. Raises InputError when there are too few scenes, or none that is small
    enough; when no ratio is positive; and when no draw has half of some class's share.
    """
    asked = sum(ratio > 0 for ratio in ratios)
    if min(ratios) < 0 or not asked:
        raise InputError(f"The ratios {ratios} are none; give three numbers such as 8 1 1.")
    if len(groups) < asked:
        raise InputError(
            f"The pairs form only {len(groups)} scenes of near-duplicate frames, too few for "
            f"{asked} splits of whole scenes; add images, or name a split file of your own."
        )
    total = sum(map(len, groups))
    parts = dict(zip(SPLITS, ratios, strict=True))
    shares = {name: parts[name] / sum(ratios) for name in SPLITS[1:] if parts[name]}
    quotas = {name: max(1, round(total * share)) for name, share in shares.items()}
    wanted = {name: _wanted(groups, share, counts or {}) for name, share in shares.items()}
    rng = np.random.default_rng(seed)
    lacking: Counter[tuple[str, str]] = Counter()
    for draw in range(1, DRAWS + 1):
        splits = _draw(groups, quotas, rng)
        missing = lacks(splits, wanted, counts or {})
        if not missing:
            return Drawn(splits, draw)
        lacking.update(missing)
    raise InputError(_refused(lacking.most_common(1)[0][0]))


def _draw(
    groups: Sequence[Sequence[str]], quotas: Mapping[str, int], rng: np.random.Generator
) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number in rng.permutation(len(groups)):
        scene = groups[number]
        open_to = [s for s, quota in quotas.items() if _fits(len(scene), len(result[s]), quota)]
        filled = {split: len(result[split]) / quotas[split] for split in open_to}
        result[min(filled, key=lambda split: filled[split]) if filled else "train"] += scene
    for split, quota in quotas.items():
        if not result[split]:
            raise InputError(
                f"Too few scenes of near-duplicate frames are smaller than a third of {split}, "
                f"which is to have {quota} images; give other ratios, take folds, add images, or "
                f"name a split file of your own."
            )
    return {split: sorted(names) for split, names in result.items()}


def _fits(scene: int, have: int, quota: int) -> bool:
    return scene <= max(1, quota * LARGEST) and have + scene <= quota


def _wanted(groups: Sequence[Sequence[str]], share: float, counts: Counts) -> Counter[str]:
    """Return the fewest labels of each class that a split of that share is to have."""
    total = labels_of([name for scene in groups for name in scene], counts)
    return Counter({label: int(LEAST * share * number) for label, number in total.items()})


def labels_of(names: Sequence[str], counts: Counts) -> Counter[str]:
    """Return how many labels of each class some images have."""
    total: Counter[str] = Counter()
    for name in names:
        total.update(counts.get(name, ()))
    return total


def lacks(
    splits: Mapping[str, Sequence[str]], wanted: Mapping[str, Counter[str]], counts: Counts
) -> list[tuple[str, str]]:
    """Return each split and class of which it has too few labels."""
    have = {split: labels_of(splits[split], counts) for split in wanted}
    return [
        (split, label)
        for split, fewest in wanted.items()
        for label, number in fewest.items()
        if have[split][label] < number
    ]


def _refused(worst: tuple[str, str]) -> str:
    split, label = worst
    return (
        f"In {DRAWS} draws of whole scenes val or test always had less than half its share of some "
        f'class, most often {split} of "{label}": too few scenes show it; give {split} a larger '
        f"ratio, take folds, or name a split file of your own."
    )


def class_shares(
    splits: Mapping[str, Sequence[str]], counts: Counts
) -> dict[str, dict[str, float]]:
    """Return the share of each class's labels that lies in each split, to four digits."""
    have = {split: labels_of(names, counts) for split, names in splits.items()}
    total: Counter[str] = sum(have.values(), Counter())
    return {
        split: {label: round(labels[label] / total[label], 4) for label in sorted(total)}
        for split, labels in have.items()
    }
