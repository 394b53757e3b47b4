"""Among which methods the best is: the model confidence set of Hansen, Lunde and Nason (2011)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.results.statistics.samples import Floats, Sample, SeedSpread
from pipelines.results.statistics.simultaneous import DRAWS, apart, exceeded

ALPHA = 0.05


@dataclass(frozen=True)
class ConfidenceSet:
    """The methods among which the best is, in the order in which they were given.

    `members` says which are in it. `left` are the places of the others' elimination, the worst
    first. `p` is for each method the least alpha at which it is not a member; of the last that is
    left it is 1, of a method without a result nan.
    """

    members: tuple[bool, ...]
    left: tuple[int, ...]
    p: tuple[float, ...]


def confidence_set(
    samples: Sequence[Sample],
    alpha: float = ALPHA,
    *,
    lower: bool = False,
    spread: SeedSpread | None = None,
    draws: int = DRAWS,
) -> ConfidenceSet:
    """Return the methods that hold the best with probability 1 - alpha; the others are worse.

    While the largest of all pairs' t among the methods that are left is larger than chance makes
    it among equal ones, the method that is furthest behind another leaves. `lower` says that the
    lowest value is best, `spread` lends a seed variance where no method has a second seed,
    and p is as fine as there are `draws`.
    Methods without a defined result are neither members nor compared; where nothing is known of
    chance, as of one image alone, all others are members.
    """
    known = [n for n, one in enumerate(samples) if np.isfinite(one.points).all()]
    p = np.full(len(samples), math.nan)
    p[known] = 1.0
    order: list[int] = []
    if len(known) > 1:
        found, left = _steps([samples[n] for n in known], lower, spread, draws)
        p[known] = found
        order = [known[n] for n in left]
    return ConfidenceSet(
        tuple((p > alpha).tolist()),
        tuple(n for n in order if p[n] <= alpha),
        tuple(p.tolist()),
    )


def _steps(
    samples: Sequence[Sample], lower: bool, spread: SeedSpread | None, draws: int
) -> tuple[Floats, list[int]]:
    """Return each method's p and the order in which all but the last leave, at any alpha."""
    first, second = np.triu_indices(len(samples), 1)
    p, order = np.ones(len(samples)), []
    found = apart(samples, (first, second), spread, draws)
    if found is None:
        return p, []
    t = found.t if lower else -found.t  # how far the first of a pair is behind the second
    highest = 0.0
    alive = np.ones(len(samples), dtype=bool)
    while alive.sum() > 1:
        both = alive[first] & alive[second]
        behind = np.full(len(samples), -math.inf)
        np.maximum.at(behind, first[both], t[both])
        np.maximum.at(behind, second[both], -t[both])
        worst = int(np.argmax(behind))
        largest = found.chance[:, both].max(axis=1)
        highest = max(highest, exceeded(largest, float(behind[worst]), found.degrees[both]))
        p[worst] = highest
        order.append(worst)
        alive[worst] = False
    return p, order
