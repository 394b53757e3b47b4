"""How much each method loses when the test pairs are disturbed: curves and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from fusion.perturb import KINDS, Kind, Perturbation
from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import FinishedCell, Results
from pipelines.results.values import Row, Table, Value
from pipelines.specs.perturbation import MEANING, UNITS, WORDS
from pipelines.tasks.task import Task

CLEAN = "clean"
PAIRED = (
    'Detector, segmenter and fusion network are those of "clean", which never saw a disturbed '
    "pair; the images of a pair are disturbed before they are fused, the labels stay."
)
NOT_FUSED = "Not disturbed, because its images are made elsewhere of clean pairs: {row}."


@dataclass(frozen=True)
class Curve:
    """A method's headline score against the strength of one kind of disturbance.

    `strengths` begins with the clean pairs (0; of "lost" the word "clean"), in `unit`; `scores`
    holds for each of them the percentages by seed, as far as they are finished.
    """

    task: str
    kind: Kind
    unit: str
    method: str
    strengths: tuple[float | str, ...]
    scores: tuple[Mapping[int, float], ...]

    @property
    def points(self) -> tuple[Value | None, ...]:
        """Mean and deviation over the finished seeds, in percent; None where none is finished."""
        return tuple(_value(list(found.values())) for found in self.scores)

    @property
    def values(self) -> tuple[float | None, ...]:
        """The means of `points`."""
        return tuple(point.mean if point else None for point in self.points)

    @property
    def sd(self) -> tuple[float | None, ...]:
        """The standard deviations of `points`; None for fewer than two seeds."""
        return tuple(point.sd if point else None for point in self.points)

    @property
    def n(self) -> tuple[int, ...]:
        """How many seeds are finished."""
        return tuple(map(len, self.scores))

    @property
    def changes(self) -> tuple[Value | None, ...]:
        """What each strength adds to the clean score, seed by seed: points, below 0 for a loss."""
        clean = self.scores[0]
        pairs = ([found[s] - clean[s] for s in found if s in clean] for found in self.scores)
        return tuple(map(_value, pairs))

    @property
    def labels(self) -> tuple[str, ...]:
        """What the strengths are called in a table."""
        return (CLEAN, *(Perturbation(self.kind, s).label for s in self.strengths[1:]))


def _value(numbers: Sequence[float]) -> Value | None:
    if not numbers:
        return None
    return Value(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers))


def curves(results: Results) -> tuple[Curve, ...]:
    """Return a curve per task, kind and method, in the experiment's order, of what is finished."""
    done = {one.cell: one for one in (*results.cells, *results.perturbed)}
    clean: dict[tuple[str, str], list[Cell]] = {}
    for cell in results.plan.cells:
        clean.setdefault((cell.task.name, cell.method.row), []).append(cell)
    swept: dict[tuple[str, Kind, str], dict[float | str, list[Cell]]] = {}
    for cell in results.plan.perturbed:
        if isinstance(cell.perturbation, Perturbation):
            key = (cell.task.name, cell.perturbation.kind, cell.method.row)
            swept.setdefault(key, {}).setdefault(cell.perturbation.strength, []).append(cell)
    found = []
    for (task, kind, row), by_strength in swept.items():
        strengths = (CLEAN if kind == "lost" else 0.0, *by_strength)
        scores = (_scores(cells, done) for cells in (clean[task, row], *by_strength.values()))
        found.append(Curve(task, kind, UNITS[kind], row, strengths, tuple(scores)))
    return tuple(found)


def _scores(cells: Sequence[Cell], done: Mapping[Cell, FinishedCell]) -> dict[int, float]:
    """Return the score of each seed, of folds their mean where all of them are finished."""
    by_seed: dict[int, list[float | None]] = {}
    for cell in cells:
        by_seed.setdefault(cell.seed, []).append(done[cell].headline if cell in done else None)
    known = {seed: [s for s in own if s is not None] for seed, own in by_seed.items()}
    return {s: 100 * fmean(own) for s, own in known.items() if own and len(own) == len(by_seed[s])}


def robustness_table(plan: Plan, found: Sequence[Curve], task: Task) -> Table:
    """Return one line per method with its scores, and one with the change against clean.

    `found` are curves of `task`, which become columns kind by kind: all, or those of one kind.
    """
    kinds = [kind for kind in KINDS if any(curve.kind == kind for curve in found)]
    methods = list(dict.fromkeys(curve.method for curve in found))
    of = {(curve.method, curve.kind): curve for curve in found}
    columns = [of[methods[0], kind].labels[1:] for kind in kinds]
    rows: list[Row] = []
    for method in methods:
        mine = [of[method, kind] for kind in kinds]
        seeds = sum((c.method.row, c.task) == (method, task) for c in plan.cells)
        rows += _rows(method, mine, seeds)
    clean, disturbed = (
        {cell.method.row for cell in cells if cell.task == task}
        for cells in (plan.cells, plan.perturbed)
    )
    left_out = [m.row for m in plan.experiment.methods if m.row in clean - disturbed]
    notes = [f"{WORDS[kind].capitalize()}: {MEANING[kind]}." for kind in kinds]
    what = f"under {WORDS[kinds[0]]}" if len(kinds) == 1 else "on disturbed pairs"
    return Table(
        title=f"{plan.experiment.name}: {task.name} {what}, {task.headline} in percent",
        task=task.name,
        columns=(CLEAN, *(label for labels in columns for label in labels)),
        rows=tuple(rows),
        notes=(PAIRED, *notes, *(NOT_FUSED.format(row=row) for row in left_out)),
        deviations=(),
        name=f"{task.name}-robustness" + (f"-{kinds[0]}" if len(kinds) == 1 else ""),
    )


def _rows(method: str, mine: Sequence[Curve], wanted: int) -> list[Row]:
    """Return a method's scores, clean first, and beneath them what disturbance changes."""

    def joined(parts: Sequence[Sequence[Value | None]]) -> tuple[Value | None, ...]:
        return tuple(value for part in parts for value in part[1:])

    finished = min((n for curve in mine for n in curve.n if n), default=0)
    scores = (mine[0].points[0], *joined([curve.points for curve in mine]))
    changes = (None, *joined([curve.changes for curve in mine]))
    return [
        Row(method, "ours", scores, finished, wanted),
        Row("  against clean", "difference", changes, finished, wanted),
    ]


def robustness_tables(results: Results, by_kind: bool = False) -> list[Table]:
    """Return one table per task, or per task and kind, from whatever is finished."""
    found = curves(results)
    tables = []
    for task in results.plan.tasks:
        mine = [curve for curve in found if curve.task == task.name]
        groups = [[c for c in mine if c.kind == kind] for kind in KINDS] if by_kind else [mine]
        tables += [robustness_table(results.plan, group, task) for group in groups if group]
    return tables
