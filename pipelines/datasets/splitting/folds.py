"""Cross-validation over scenes: every image is tested once, and no scene is on both sides.

Folds are filled with whole scenes, the largest first, and of many draws the one is taken in which
the labels of every class are spread most evenly over the folds. A fold's training images are those
of all others; where an epoch is chosen on validation images, these are whole scenes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from pipelines.datasets.splitting.near_duplicates import RULE
from pipelines.datasets.splitting.splits import LEAST, Counts, class_shares, draw_split, labels_of

DRAWS = 200
LARGEST = 1.5
"""Of the images that a fold is to have, as many may be of one scene."""
VALIDATION = (8, 1)
"""Of a fold's training images every ninth is for validation where one is chosen by it."""
METHOD = (
    f"{RULE}; whole scenes, the largest first and equal ones in an order drawn by the seed, go to "
    f"the fold that has the fewest images; of {DRAWS} draws the one in which the classes' labels "
    f"are spread most evenly; where val is needed, it is "
    f"drawn from a fold's training scenes as in a single split"
)


Assigned = NDArray[np.intp]
"""The fold of each scene."""


@dataclass(frozen=True)
class Folds:
    """By fold, the names that are tested and those that may be taken out of train as val."""

    test: tuple[list[str], ...]
    val: tuple[list[str], ...]

    @property
    def entries(self) -> list[dict[str, list[str]]]:
        """What a split file lists."""
        pairs = zip(self.test, self.val, strict=True)
        return [{"test": test, "val": val} for test, val in pairs]

    def shares(self, counts: Counts) -> dict[str, dict[str, float]]:
        """Return the share of each class's labels in each fold, "fold 1" first."""
        return class_shares({f"fold {n}": names for n, names in enumerate(self.test, 1)}, counts)


def draw_folds(
    groups: Sequence[Sequence[str]], number: int, seed: int, counts: Counts | None = None
) -> Folds:
    """Draw folds of whole scenes; deterministic in `seed`.

    Raises InputError for fewer scenes than folds, for a scene that is much larger than a fold is
    to be, and for a class of which some fold has less than half its share in the best draw.
    """
    total, largest = sum(map(len, groups)), max(map(len, groups), default=0)
    if len(groups) < number or largest * number > LARGEST * total:
        raise InputError(
            f"The {total} pairs form {len(groups)} scenes of near-duplicate frames, the largest of "
            f"{largest}, too few or too large for {number} folds; take fewer folds, add images, or "
            f"name a split file of your own."
        )
    labels, table = _table(groups, counts or {})
    rng = np.random.default_rng(seed)
    drawn = [_draw(groups, number, rng) for _ in range(DRAWS)]
    best = min(drawn, key=lambda folds: _unevenness(_spread(folds, table, number)))
    _check(_spread(best, table, number), table.sum(axis=0), labels)
    test, val = [], []
    for fold in range(number):
        test.append(
            sorted(name for n in np.flatnonzero(best == fold).tolist() for name in groups[n])
        )
        val.append(_validation([groups[n] for n in np.flatnonzero(best != fold).tolist()], seed))
    return Folds(tuple(test), tuple(val))


def _table(groups: Sequence[Sequence[str]], counts: Counts) -> tuple[list[str], NDArray[np.int64]]:
    """Return the classes, and how many labels of each the scenes have, ``scenes x classes``."""
    labels = sorted({label for of in counts.values() for label in of})
    have = [labels_of(scene, counts) for scene in groups]
    rows = [[of[label] for label in labels] for of in have]
    return labels, np.array(rows, dtype=np.int64).reshape(len(groups), len(labels))


def _draw(groups: Sequence[Sequence[str]], number: int, rng: np.random.Generator) -> Assigned:
    found, filled = np.zeros(len(groups), dtype=np.intp), [0] * number
    for place in sorted(rng.permutation(len(groups)), key=lambda n: -len(groups[n])):
        found[place] = min(range(number), key=lambda fold: filled[fold])
        filled[found[place]] += len(groups[place])
    return found


def _spread(folds: Assigned, table: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """Return the share of each class's labels that lies in each fold, ``folds x classes``."""
    have = np.stack([table[folds == fold].sum(axis=0) for fold in range(number)])
    shares: NDArray[np.float64] = have / np.maximum(have.sum(axis=0), 1)
    return shares


def _unevenness(shares: NDArray[np.float64]) -> float:
    """Return how far the fold that has least of a class is from an equal share."""
    return float((1 / len(shares) - shares).max(initial=0.0))


def _check(shares: NDArray[np.float64], total: NDArray[np.int64], labels: Sequence[str]) -> None:
    least = shares.min(axis=0, initial=1.0) * total
    for label, have, number in zip(labels, least, total, strict=True):
        if round(float(have)) < int(LEAST * number / len(shares)):
            raise InputError(
                f"In the most even of {DRAWS} draws of {len(shares)} folds one has less than half "
                f'its share of the class "{label}": too few scenes show it; take fewer folds, or '
                f"name a split file of your own."
            )


def _validation(rest: Sequence[Sequence[str]], seed: int) -> list[str]:
    """Return whole scenes to choose an epoch by; none where all are too large to be taken out."""
    train, val = VALIDATION
    try:
        return draw_split(rest, (train, val, 0), seed).splits["val"]
    except InputError:
        return []
