"""The tables: ours, the paper's row beneath, the difference, and every deviation under them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from fusion.errors import InputError, did_you_mean
from pipelines.loading import config_path, read_yaml
from pipelines.plan import Plan
from pipelines.specs import ExperimentSpec, SplitSpec, Task
from pipelines.store import Store

Kind = Literal["ours", "paper", "difference"]

MEANS = {"detection": ("mAP50", "mAP50-95"), "segmentation": ("mIoU", "mIoU w/o background")}
METRIC = {"detection": "AP50 in percent", "segmentation": "IoU in percent"}
DETECTOR_DEVIATION = (
    "The detector is ultralytics' YOLOv5u: YOLOv5's v6 backbone and neck with an anchor-free head; "
    "the paper's YOLOv5 is anchor-based."
)
COLOR_DEVIATION = (
    "Fused images are the fused luminance with the {color} image's Cb and Cr reattached; infrared "
    "is gray, visible is the colour image itself."
)
SPLIT_DEVIATION = (
    "{name} has no published split: ours is drawn by seed {seed}, {ratios} in whole scenes, "
    "because consecutive frames are near-duplicates."
)


@dataclass(frozen=True)
class Value:
    """A score in percent: mean and standard deviation over the seeds that are finished."""

    mean: float
    sd: float | None
    seeds: int

    @property
    def shown(self) -> float:
        """The mean as a table prints it: what looks equal shares a rank."""
        return round(self.mean, 1)


@dataclass(frozen=True)
class Row:
    """One line: a value per column, or None where the class is absent or nothing is printed."""

    label: str
    kind: Kind
    values: tuple[Value | None, ...]
    finished: int
    wanted: int


@dataclass(frozen=True)
class Table:
    """One task's table with its footnotes."""

    title: str
    task: Task
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    deviations: tuple[str, ...]

    def rank(self, row: Row, column: int) -> int | None:
        """Return 1 for the best of our rows in a column, 2 for the second, else None.

        Equal means share a rank.
        """
        ours = [r.values[column] for r in self.rows if r.kind == "ours"]
        means = sorted({v.shown for v in ours if v is not None}, reverse=True)
        value = row.values[column]
        if row.kind != "ours" or value is None or len(means) < 2:
            return None
        place = means.index(value.shown) + 1
        return place if place <= 2 else None


def experiment_tables(plan: Plan, store: Store, tasks: Sequence[Task]) -> list[Table]:
    """Return one table per task from whatever is finished."""
    return [
        _table(plan, store, task) for task in tasks if getattr(plan.experiment, task) is not None
    ]


def _table(plan: Plan, store: Store, task: Task) -> Table:
    spec = getattr(plan.experiment, task)
    columns = (*spec.dataset.classes, *MEANS[task])
    rows: list[Row] = []
    printed, notes = _paper_rows(plan.experiment, task, columns)
    for method in plan.experiment.methods:
        cells = [c for c in plan.cells if c.task == task and c.method.row == method.row]
        manifests = [m for cell in cells if (m := store.manifest(cell.result)) is not None]
        found = [_scores(task, m["metrics"], spec.dataset.classes) for m in manifests]
        values = tuple(_value([scores[i] for scores in found]) for i in range(len(columns)))
        ours = Row(method.row, "ours", values, len(found), len(plan.experiment.seeds))
        rows.append(ours)
        if method.name in printed:
            paper = Row("  paper", "paper", printed[method.name], 1, 1)
            rows += [paper, _difference(ours, paper)]
    seeds = len(plan.experiment.seeds)
    title = f"{plan.experiment.name}: {task} on {spec.dataset.name}, {METRIC[task]}"
    if seeds > 1:
        notes = (f"Mean and standard deviation over {seeds} seeds.", *notes)
    return Table(title, task, columns, tuple(rows), notes, deviations(plan.experiment, task))


def _scores(task: Task, metrics: Mapping[str, Any], classes: Sequence[str]) -> list[float | None]:
    if task == "detection":
        return [*(metrics["AP50"][name] for name in classes), metrics["mAP50"], metrics["mAP"]]
    means = [metrics["miou"], metrics["miou_foreground"]]
    return [*(metrics["iou"][name] for name in classes), *means]


def _value(scores: Sequence[float | None]) -> Value | None:
    known = [100 * score for score in scores if score is not None]
    if not known:
        return None
    return Value(fmean(known), stdev(known) if len(known) > 1 else None, len(known))


def _difference(ours: Row, paper: Row) -> Row:
    values = tuple(
        Value(a.mean - b.mean, None, a.seeds) if a is not None and b is not None else None
        for a, b in zip(ours.values, paper.values, strict=True)
    )
    return Row("  difference", "difference", values, ours.finished, ours.wanted)


def _paper_rows(
    experiment: ExperimentSpec, task: Task, columns: Sequence[str]
) -> tuple[dict[str, tuple[Value | None, ...]], tuple[str, ...]]:
    """Return the printed rows by method, and a note where the paper has none for us."""
    name = getattr(experiment.paper, task)
    if name is None:
        return {}, ()
    printed = read_paper_table(name)
    rows = {
        method: tuple(
            Value(v, None, 1) if (v := cells.get(c)) is not None else None for c in columns
        )
        for method, cells in printed.items()
    }
    lacking = [m.row for m in experiment.methods if m.name not in rows]
    note = (
        f"No printed row of {name} is on file for: {', '.join(lacking)} (configs/paper/{name}.csv)."
    )
    return rows, (note,) if lacking else ()


def read_paper_table(name: str) -> dict[str, dict[str, float | None]]:
    """Return a printed table, ``{method: {column: value or None}}``, from configs/paper.

    Raises InputError for an unknown table.
    """
    folder = Path(str(resources.files("configs"))) / "paper"
    path = folder / f"{name}.csv"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.csv")]
        raise InputError(f'There is no "{name}" in configs/paper.{did_you_mean(name, known)}')
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    return {
        row.pop("method"): {key: float(text) if text else None for key, text in row.items()}
        for row in rows
    }


def deviations(experiment: ExperimentSpec, task: Task) -> tuple[str, ...]:
    """Return every known way in which a table differs from the paper's protocol."""
    spec = getattr(experiment, task)
    dataset = spec.dataset
    found = [DETECTOR_DEVIATION] if task == "detection" else []
    found.append(COLOR_DEVIATION.format(color=dataset.color))
    if dataset.scenes is not None:
        found.append("The images are drawn (embedded scenes); they say nothing about the world.")
    elif not dataset.comes_split and not (dataset.split and dataset.split.file):
        drawn = dataset.split or SplitSpec()
        ratios = ":".join(map(str, drawn.ratios))
        found.append(SPLIT_DEVIATION.format(name=dataset.name, seed=drawn.seed, ratios=ratios))
    found += [*dataset.notes, *experiment.deviations]
    paper = getattr(experiment.paper, task)
    if paper is not None and paper != experiment.name:
        found += _protocol_differences(experiment, task, paper)
    return tuple(found)


def _protocol_differences(experiment: ExperimentSpec, task: Task, paper: str) -> list[str]:
    """Compare the budget with the shipped experiment that follows the paper to the letter."""
    mine = getattr(experiment, task)
    protocol = {**read_yaml(config_path("experiments", paper))[task], "dataset": mine.dataset}
    theirs = type(mine).model_validate(protocol).model_dump(mode="json")
    differing = [
        f"{key} {_short(value)} (paper: {_short(theirs[key])})"
        for key, value in mine.model_dump(mode="json").items()
        if value != theirs[key]
    ]
    return [f"Settings that differ from the paper's: {', '.join(differing)}."] if differing else []


def _short(value: Any) -> str:
    """Return a setting for a footnote: of a path its name alone."""
    return "none" if value is None else str(value).rsplit("/", 1)[-1]


def as_plain(table: Table) -> dict[str, Any]:
    """Return the table as plain values for JSON."""
    return asdict(table)
