"""What the finished cells of an experiment support: differences, ties with the best, agreement."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.rows import Table


@dataclass(frozen=True)
class Difference:
    """A method's mean less the reference's in one column, in the table's unit.

    `p` is two-sided; `p_holm` is corrected over all methods that are compared with the reference in
    this column.
    """

    method: str
    reference: str
    column: str
    mean: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Evidence:
    """One table with what it supports.

    `headline` is the column that orders the methods: mAP50, mIoU, or mean rank for quality
    metrics. `differences` are to the best method of a column and to visible alone, for the columns
    of means (mAP50, mAP50-95; mIoU, mIoU w/o background; every quality metric). `level_with_best`
    are the methods, the best first, that cannot be told from the best in the headline at 5 %
    after Holm's correction. `ranks` holds for each method the share of resamples in which it
    takes place 1, 2, ... in the headline.
    """

    table: Table
    headline: str
    best: str | None
    differences: tuple[Difference, ...]
    level_with_best: tuple[str, ...]
    ranks: dict[str, tuple[float, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two orders of the same methods, with its two-sided p."""

    first: str
    second: str
    tau: float
    p: float
    methods: int
