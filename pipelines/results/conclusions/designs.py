"""What other designs of an experiment would see: more images, folds, more seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fusion.errors import InputError
from pipelines.results.finished import Results
from pipelines.results.rows.shares import share_row
from pipelines.results.statistics.best import ALPHA
from pipelines.results.statistics.power import (
    POWER,
    Variances,
    seeds_for,
    share_for,
    smallest_difference,
    variances,
)
from pipelines.results.statistics.samples import Units
from pipelines.tasks.task import Task

FOLDS = 5
SIZES = (1.0, 2.0, 4.0)
"""Test sets that are looked at, as multiples of the one that there is."""
SEEDS = (2, 3, 5, 10)
MOST = 200
"""More seeds than this are never."""


@dataclass(frozen=True)
class Wanted:
    """Which difference is to be seen among how many methods, how surely, and at which level."""

    difference: float
    methods: int
    power: float = POWER
    alpha: float = ALPHA


@dataclass(frozen=True)
class Design:
    """A test set, in one split or in folds; with `folds` one seed is as many trainings.

    `known` are the variances on this test set.
    """

    images: int
    known: Variances
    folds: int = 1

    @property
    def scenes(self) -> int:
        """How many scenes the images are of."""
        return self.known.units.number

    @property
    def title(self) -> str:
        """For people."""
        split = f"{self.folds} folds" if self.folds > 1 else "1 split"
        return f"{self.images} images, {split}"

    def least(self, wanted: Wanted, seeds: float) -> float:
        """Return the smallest difference that is seen with so many seeds."""
        return smallest_difference(
            self.known, wanted.methods, seeds, power=wanted.power, alpha=wanted.alpha
        )

    def seeds(self, wanted: Wanted) -> int | None:
        """Return how many seeds the wanted difference takes; None where none suffice."""
        level = {"power": wanted.power, "alpha": wanted.alpha}
        return seeds_for(wanted.difference, self.known, wanted.methods, most=MOST, **level)


def designs(known: Variances, images: int, total: int | None, folds: int = 1) -> list[Design]:
    """Return the designs that are looked at: larger test sets, and folds of all images.

    `known` are the variances on `images` test images, `total` all images of the dataset. In folds
    every image is tested once, and a seed's result is the mean of as many trainings; `folds` are
    those of the experiment itself.
    """
    found = [Design(round(images * share), known.of(share), folds) for share in SIZES]
    if folds == 1 and total is not None and total > images:
        whole = known.of(total / images)
        found.append(Design(total, replace(whole, training=known.training / FOLDS), FOLDS))
    return found


def curve(design: Design, wanted: Wanted, seeds: Sequence[int]) -> list[float]:
    """Return the smallest difference that a design sees, for each number of seeds."""
    return [design.least(wanted, number) for number in seeds]


def lines(found: Sequence[Design], wanted: Wanted) -> list[tuple[str, ...]]:
    """Return a table's head and a line for each design, as words."""
    head = ("test images", "scenes", "folds", *(f"{k} seeds" for k in SEEDS), "any number")
    rows = [(*head, f"for {wanted.difference:g}")]
    for design in found:
        least = [f"{design.least(wanted, number):.2f}" for number in (*SEEDS, math.inf)]
        takes = design.seeds(wanted)
        seeds = "never" if takes is None else f"{takes} seeds"
        if takes is not None and design.folds > 1:
            seeds += f" ({takes * design.folds} trainings)"
        rows.append((str(design.images), str(design.scenes), str(design.folds), *least, seeds))
    return rows


def images_for(design: Design, wanted: Wanted) -> list[str]:
    """Return a sentence for each number of seeds: how many test images the difference takes."""
    found = []
    for seeds in SEEDS:
        share = share_for(
            wanted.difference, design.known, wanted.methods, seeds,
            power=wanted.power, alpha=wanted.alpha,
        )  # fmt: skip
        takes = "no number of test images suffices"
        if share is not None:
            scenes = math.ceil(design.scenes * share)
            takes = f"it takes {math.ceil(design.images * share)} test images ({scenes} scenes)"
        found.append(f"With {seeds} seeds {takes}.")
    return found


@dataclass(frozen=True)
class Basis:
    """The variances behind designs, the test images that they are of, and where both are from."""

    known: Variances
    images: int
    told: str


def basis_of(results: Results, task: Task) -> Basis | None:
    """Return what an experiment's finished cells tell of a task's headline; None if too few."""
    spec = results.plan.experiment.sections[task.name]
    columns = task.columns(spec)
    rows = [results.of(task.name, method.row) for method in results.plan.experiment.methods]
    measured = [share_row(cells, results.store, len(columns)).measured for cells in rows]
    there = [one for one in measured if one is not None]
    place = columns.index(task.headline)
    samples = [one.sample(place) for one in there if np.isfinite(one.points[:, place]).all()]
    known = variances(samples)
    if known is None:
        return None
    cells = sum(len(one.points) for one in there)
    told = f"{cells} finished results of {results.plan.experiment.name}"
    return Basis(known, there[0].images, told)


@dataclass(frozen=True)
class Stated:
    """What is assumed instead of found: standard deviations in points, and test images.

    `image_sd` is that of the difference of two methods on one image; images that are alike
    within scenes make its variance `scene_effect` times as large.
    """

    seed_sd: float | None = None
    image_sd: float | None = None
    scene_effect: float = 1.0
    images: int | None = None


def with_stated(basis: Basis | None, given: Stated, tested: int | None) -> Basis:
    """Return the basis with what is stated in the place of what was found.

    `tested` are the dataset's test images where they are known. Raises InputError for what is
    neither found nor stated.
    """
    images = given.images or (basis.images if basis is not None else tested)
    if images is None:
        raise InputError("How many test images there are is not known; give --images N.")
    told = [] if basis is None else [basis.told]
    if given.image_sd is not None:
        effect = given.scene_effect
        units = Units(round(images / effect), max(1.0, images / effect - 1), 1.0)
        known = Variances(given.image_sd**2 * effect / images, units, 0.0)
        told.append(f"a stated standard deviation over images of {given.image_sd:g} points")
    elif basis is not None:
        known = basis.known.of(images / basis.images)
    else:
        raise InputError(f"{UNKNOWN} give --image-sd POINTS and --seed-sd POINTS, or {ELSEWHERE}")
    training, degrees = (basis.known.training, basis.known.degrees) if basis else (0.0, 0)
    if given.seed_sd is not None:
        training, degrees = given.seed_sd**2, 0
        told.append(f"a stated standard deviation over seeds of {given.seed_sd:g} points")
    elif not degrees:
        raise InputError(f"{ONE_SEED} give --seed-sd POINTS, or {ELSEWHERE}")
    known = replace(known, training=training, degrees=degrees)
    return Basis(known, images, f"{' and '.join(told)}; {_deviations(known, images)}")


UNKNOWN = "No two methods have finished results, so that nothing is known of chance:"
ONE_SEED = "No method has finished results of two seeds, so that trainings' chance is not known:"
ELSEWHERE = "--from EXPERIMENT for one whose results are in the store."


def _deviations(known: Variances, images: int) -> str:
    each = (known.images * images) ** 0.5
    freedom = f" ({known.degrees} degrees of freedom)" if known.degrees else ""
    return (
        f"standard deviations in points: {known.training**0.5:.2g} of a training{freedom}, "
        f"{each:.2g} of a difference on one image"
    )
