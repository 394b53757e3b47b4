"""Which test images to show: those on which the methods' scores lie furthest apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev

SHOWN = 3
PerImage = Mapping[str, float]


def mean_over_seeds(seeds: Sequence[PerImage]) -> dict[str, float]:
    """Return each image's mean over a method's seeds, for images that all of them have."""
    names = set(seeds[0]).intersection(*seeds[1:]) if seeds else set()
    return {name: fmean(scores[name] for scores in seeds) for name in sorted(names)}


def most_different(scores: Sequence[PerImage], allowed: Sequence[str]) -> list[tuple[str, float]]:
    """Return up to `SHOWN` images with the standard deviation of their score between methods.

    One from each third of `allowed`, in the order of their names: neighbours are often frames of
    one scene. None where fewer than two methods have scores, or where all agree.
    """
    if len(scores) < 2:
        return []
    names = sorted(set(allowed).intersection(*scores))
    size = max(1, -(-len(names) // SHOWN))
    found = []
    for start in range(0, len(names), size):
        spreads = {n: pstdev(of[n] for of in scores) for n in names[start : start + size]}
        name = max(spreads, key=lambda n: spreads[n])
        if spreads[name] > 0:
            found.append((name, spreads[name]))
    return found
