"""What may be said of the best, in sentences: of methods, or of these trained networks alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from pipelines.results.statistics.best import ALPHA
from pipelines.results.statistics.bootstrap import RESAMPLES
from pipelines.results.statistics.samples import SeedSpread
from pipelines.results.values import Measured

Basis = Literal["images", "seeds", "lent", "one training"]
"""What is random besides the test images: nothing, seeds, seeds elsewhere, or seeds unknown."""
TOGETHER = (
    "Differences: the intervals of one column hold together, by the largest t of equal methods, "
    "and so do its p (step-down, Romano and Wolf 2005), which may fall below 5 % where an interval "
    "just holds 0. To the best, which the same results chose, both are corrected over all pairs of "
    "methods, to visible over the methods. p is counted among up to 10,000 simulated experiments, "
    "and where these are too few the sum of Student's tails (Bonferroni)."
)
SIMULATED = (
    "In simulations some of several equal methods is dropped from those that hold the best, or "
    "told apart, in 3 to 7 of 100 experiments, where 5 are said; in up to 9 where some methods "
    "vary several times as much with their seeds as others, in up to 8 with one seed in each of "
    "five folds, and in fewer than 5 on a dozen scenes."
)
RANDOM: dict[Basis, str] = {
    "images": "Nothing is trained here: only the test images are random.",
    "seeds": "Test images and training seeds are both random in conclusion, differences and "
    "places; the intervals in the table are over test images alone.",
    "lent": "Test images and training seeds are both random in conclusion, differences and "
    "places, the seeds as another experiment found them; the intervals in the table are over test "
    "images alone.",
    "one training": "One seed: only the test images are random. Another training may turn round "
    "what these trained networks show.",
}
SURE = f"With {100 - 100 * ALPHA:g} % confidence"
ONE_TRAINING = "Of the methods this says nothing: there is one training each."
"""Behind every conclusion from one seed: rounding alone has moved a row by fourteen points."""


def basis_of(measured: Collection[Measured], spreads: Collection[SeedSpread]) -> Basis:
    """Return what is random in comparisons of these results; `spreads` are those in use."""
    if all(one.fixed for one in measured):
        return "images"
    if all(len(one.points) == 1 and not one.spreads for one in measured):
        return "lent" if any(one.degrees for one in spreads) else "one training"
    return "seeds"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as they are read aloud: "a, b and c"."""
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def drawn(one: Measured) -> str:
    """Return how many images and scenes were tested."""
    images, scenes = one.images, len(one.sizes)
    return f"{images} test images{f' ({scenes} scenes)' if scenes < images else ''}"


def best(members: Sequence[str], methods: int, basis: Basis, on: str) -> str:
    """Return which methods hold the best: `members` of so many, tested `on` these images."""
    if basis == "one training":
        return f"{_networks(members, methods, on)} {ONE_TRAINING}"
    if len(members) == methods:
        return f"{SURE} the best is among all {methods} methods: none can be ruled out."
    if len(members) == 1:
        return f"{SURE} {members[0]} is the best; every other method is worse."
    return (
        f"{SURE} the best is among {listed(members)}; every method not listed is worse than one "
        f"that is."
    )


def _networks(members: Sequence[str], methods: int, on: str) -> str:
    if len(members) == methods:
        return f"These trained networks do not differ on these {on} by more than chance."
    start = f"These trained networks differ on these {on}: {SURE.lower()}"
    if len(members) == 1:
        return f"{start} every other one does worse than that of {members[0]}."
    return (
        f"{start} the one that does best is among those of {listed(members)}, and every other one "
        f"does worse than one of these."
    )


def notes(basis: Basis, measured: Collection[Measured]) -> tuple[str, ...]:
    """Return what differences and places rest on, in sentences."""
    several = len(measured) > 1
    return (*((TOGETHER, SIMULATED) if several else ()), RANDOM[basis])


def procedure(basis: Basis, measured: Collection[Measured], spread: SeedSpread | None) -> str:
    """Return how it was found, in a sentence; `spread` is that of the headline."""
    on = drawn(next(iter(measured)))
    over = [f"{RESAMPLES} resamples of the {on}"]
    if basis in ("seeds", "lent") and spread is not None:
        paired = ", paired by seed" if spread.paired else ""
        folded = any(one.spreads for one in measured)
        own = "of the folds, pooled over the methods" if folded else "pooled over the methods"
        whose = "lent" if basis == "lent" else own
        over.append(
            f"training seeds (variance {whose}, {spread.degrees} degrees of freedom{paired})"
        )
    return f"By the model confidence set (Hansen, Lunde and Nason 2011) over {' and '.join(over)}."
