"""What a table is made of: values with their uncertainty, rows, and who is best in a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError, did_you_mean
from pipelines.results.statistics.folds import FoldScores
from pipelines.results.statistics.samples import Sample, SeedSpread, Units, units_of

Kind = Literal["ours", "paper", "difference"]


@dataclass(frozen=True)
class Value:
    """A score: mean and standard deviation over the seeds that are finished.

    Shares (AP, IoU) are in percent. `ci95` is the interval of the mean over resampled test images
    where it is known; it does not cover other seeds.
    """

    mean: float
    sd: float | None
    seeds: int
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A curve of one method; `style` says what it is where a method has several."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: Literal["train", "val"] = "train"


@dataclass(frozen=True, eq=False)
class Measured:
    """A method's results behind its row, in the table's units and order of columns.

    `points` is float64[seeds, columns] on the test set itself; `resampled`, float64[resamples,
    columns], the mean over seeds on resamples of the test images that all methods share, drawn by
    whole scenes of so many images each as `sizes` says; nan where nothing is defined. `fixed` says
    that nothing is trained and seeds make no difference; `seeds` are the names of the points.
    Of a cross-validation there are the scores of the `folds`, and what these tell of the variance
    of a point over trainings, `spreads` by column.
    """

    points: NDArray[np.float64]
    resampled: NDArray[np.float64]
    sizes: tuple[int, ...]
    fixed: bool = False
    seeds: tuple[int, ...] = ()
    folds: FoldScores | None = None
    spreads: tuple[SeedSpread, ...] = ()

    @property
    def images(self) -> int:
        """How many images were tested."""
        return sum(self.sizes)

    @property
    def units(self) -> Units:
        """The scenes that they fall into."""
        return units_of(self.sizes)

    @property
    def tested(self) -> str:
        """On what, as "18 scenes, 361 images"."""
        return tested(len(self.sizes), self.images)

    def sample(self, column: int) -> Sample:
        """Return what comparisons need of one column."""
        points, resampled = self.points[:, column], self.resampled[:, column]
        spread = self.spreads[column] if self.spreads else None
        return Sample(points, resampled, self.units, self.fixed, self.seeds, spread)


def tested(scenes: int, images: int) -> str:
    """Return on what methods are tested: near-duplicate images are of one scene."""
    if scenes == images:
        return f"{images} images, each a scene of its own"
    return f"{scenes} scene{'s' if scenes > 1 else ''}, {images} images"


@dataclass(frozen=True, eq=False)
class RowScores:
    """What a row is made of; `measured` is None while nothing is, or no longer, known."""

    values: tuple[Value | None, ...]
    notes: tuple[str, ...] = ()
    measured: Measured | None = None


@dataclass(frozen=True)
class Row:
    """One line: a value per column, or None where nothing is defined or printed."""

    label: str
    kind: Kind
    values: tuple[Value | None, ...]
    finished: int
    wanted: int


@dataclass(frozen=True)
class Table:
    """One task's table with its footnotes; `name` is unique within an experiment.

    `digits` are printed behind the point; in the columns `lower` the lowest value is best.
    `among_best` are by column the rows among which the best is with 95 % confidence, where that
    is known. `objects` says how many each column rests on, in the test images, where that is
    known: a score of few objects is one of luck.
    """

    title: str
    task: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    deviations: tuple[str, ...]
    name: str
    digits: int = 1
    lower: tuple[str, ...] = ()
    among_best: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    objects: tuple[int | None, ...] = ()

    def excerpt(self, columns: Sequence[str], intervals: bool = True) -> Table:
        """Return the table with some of its columns, in the order given, or without intervals.

        Raises InputError for a column that it does not have.
        """
        for name in columns:
            if name not in self.columns:
                hint = did_you_mean(name, list(self.columns))
                raise InputError(f'The table "{self.name}" has no column "{name}".{hint}')
        places = [self.columns.index(name) for name in columns]
        rows = tuple(
            replace(row, values=tuple(_bare(row.values[p], intervals) for p in places))
            for row in self.rows
        )
        return replace(
            self,
            columns=tuple(columns),
            rows=rows,
            objects=tuple(self.objects[place] for place in places) if self.objects else (),
            among_best={name: self.among_best[name] for name in columns if name in self.among_best},
        )

    def rank(self, row: Row, column: int) -> int | None:
        """Return 1 for the best of our rows in a column, 2 for the second, else None.

        Equal means, as they are printed, share a rank.
        """
        value = row.values[column]
        if row.kind != "ours" or value is None:
            return None
        means = sorted(set(self.column(column)), reverse=self.columns[column] not in self.lower)
        place = means.index(round(value.mean, self.digits)) + 1
        return place if place <= 2 and len(means) > 1 else None

    def may_be_best(self, row: Row, column: int) -> bool | None:
        """Return whether one of our rows is among those that hold the best; None: unknown."""
        among = self.among_best.get(self.columns[column])
        return None if among is None or row.kind != "ours" else row.label in among

    def column(self, column: int) -> list[float]:
        """Return our values of a column as they are printed, those that there are."""
        ours = [row.values[column] for row in self.rows if row.kind == "ours"]
        return [round(value.mean, self.digits) for value in ours if value is not None]


def difference(ours: Row, paper: Row) -> Row:
    """Return the row of differences, where both have a value."""
    values = tuple(
        Value(a.mean - b.mean, None, a.seeds) if a is not None and b is not None else None
        for a, b in zip(ours.values, paper.values, strict=True)
    )
    return Row("  difference", "difference", values, ours.finished, ours.wanted)


def _bare(value: Value | None, interval: bool) -> Value | None:
    return value if value is None or interval else replace(value, ci95=None)


def as_plain(table: Table) -> dict[str, Any]:
    """Return the table as plain values for JSON."""
    return asdict(table)
