"""Each method's difference to one reference, in intervals that hold all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.results.statistics.samples import Floats, Sample, SeedSpread
from pipelines.results.statistics.simultaneous import DRAWS, Apart, apart, critical, exceeded, tail

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """A method less the reference: the mean difference, its interval, and two-sided p.

    The interval holds at 95 % together with those of all other methods; `p` is of this pair
    alone, `p_adjusted` of all of them, stepped down by the largest t.
    """

    mean: float
    low: float
    high: float
    p: float
    p_adjusted: float


def against(
    samples: Sequence[Sample],
    reference: int,
    *,
    chosen: bool,
    spread: SeedSpread | None = None,
    draws: int = DRAWS,
) -> list[Comparison] | None:
    """Compare all other samples, in their order, with one; None where nothing can be said.

    A reference that was `chosen` by the same results, as the best, is compared as one of all
    pairs: only then is it told from an equal method as seldom as is said. Otherwise the
    correction is over the methods that are compared with it.
    """
    others = [n for n in range(len(samples)) if n != reference]
    if not others:
        return []
    first = np.array(others)
    pairs = (first, np.full(len(others), reference))
    if chosen:  # the reference's pairs first, then all that are left
        one, other = np.triu_indices(len(others), 1)
        pairs = (np.append(first, first[one]), np.append(pairs[1], first[other]))
    found = apart(samples, pairs, spread, draws)
    if found is None:
        return None
    half = found.error * critical(found.chance.max(axis=1), ALPHA)
    alone, together = tail(found.degrees, found.t), stepped_down(found)
    columns = (found.mean, found.mean - half, found.mean + half, alone, together)
    return [Comparison(*row) for row in np.stack(columns, axis=1)[: len(others)].tolist()]


def stepped_down(found: Apart) -> Floats:
    """Return p adjusted by Romano and Wolf: each against the largest of all that are no larger."""
    size = np.abs(found.t)
    order = np.argsort(-size, kind="stable")
    reverse = order[::-1]
    largest = np.maximum.accumulate(found.chance[:, reverse], axis=1)[:, ::-1]
    single = [
        exceeded(largest[:, n], float(size[one]), found.degrees[order[n:]])
        for n, one in enumerate(order)
    ]
    adjusted = np.empty_like(size)
    adjusted[order] = np.maximum.accumulate(single)
    return adjusted
