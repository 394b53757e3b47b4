"""The tables: ours, the paper's row beneath, the difference, and every deviation under them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fusion.errors import InputError, did_you_mean
from pipelines.planning.plan import Plan
from pipelines.results.evidence import Evidence, conclude
from pipelines.results.quality_rows import score_row, with_mean_ranks
from pipelines.results.rows import CORRECTED, COVERED, MEANS, ONE_SEED, share_row
from pipelines.results.values import Measured, Row, Table, Value, difference
from pipelines.specs.dataset import SplitSpec, Task
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import config_path, read_yaml
from pipelines.store.store import Store

__all__ = ["Row", "Table", "Value", "experiment_evidence", "experiment_tables", "read_paper_table"]

METRIC = {
    "detection": "AP50 in percent",
    "segmentation": "IoU in percent",
    "scoring": "image quality",
}
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


def experiment_tables(plan: Plan, store: Store, tasks: Sequence[Task]) -> list[Table]:
    """Return the tables of the tasks from whatever is finished.

    One per task, or one per part of the dataset where `scoring.by_part` says so.
    """
    return [evidence.table for evidence in experiment_evidence(plan, store, tasks)]


def experiment_evidence(plan: Plan, store: Store, tasks: Sequence[Task]) -> list[Evidence]:
    """Return the same tables, each with what it supports."""
    return [
        _evidence(plan, store, task, part)
        for task in tasks
        if (spec := getattr(plan.experiment, task)) is not None
        for part in (spec.dataset.parts if getattr(spec, "by_part", False) else ("",))
    ]


def _evidence(plan: Plan, store: Store, task: Task, part: str) -> Evidence:
    experiment, spec = plan.experiment, getattr(plan.experiment, task)
    columns = spec.metrics if task == "scoring" else (*spec.dataset.classes, *MEANS[task])
    printed, notes = _paper_rows(experiment, task, columns, part)
    rows: list[Row] = []
    measured: dict[str, Measured] = {}
    for method in experiment.methods:
        cells = [c for c in plan.cells if c.task == task and c.method.row == method.row]
        done = [cell for cell in cells if store.manifest(cell.result) is not None]
        found = (
            score_row(done, store, part, columns)
            if task == "scoring"
            else share_row(done, store, spec.dataset.classes)
        )
        ours = Row(method.row, "ours", found.values, len(done), len(experiment.seeds))
        rows.append(ours)
        notes = (*notes, *found.notes)
        if found.measured is not None:
            measured[method.row] = found.measured
        if (values := printed.get(method.row, printed.get(method.name))) is not None:
            paper = Row("  paper", "paper", values, 1, 1)
            rows += [paper, difference(ours, paper)]
    seeds = len(experiment.seeds)
    if measured and task != "scoring":
        notes = (*notes, COVERED, CORRECTED, *((ONE_SEED,) if seeds == 1 else ()))
    if seeds > 1:
        notes = (f"Mean and standard deviation over {seeds} seeds.", *notes)
    whose = f"{spec.dataset.name} {part}".strip()
    title = f"{experiment.name}: {task} on {whose}, {METRIC[task]}"
    told, name = deviations(experiment, task), f"{task}-{part}".strip("-")
    made = Table(title, task, columns, tuple(rows), notes, told, name)
    visible = next((m.row for m in experiment.methods if m.name == "visible"), None)
    ranked = with_mean_ranks(made, spec.convention) if task == "scoring" else made
    return conclude(ranked, measured, visible)


def _paper_rows(
    experiment: ExperimentSpec, task: Task, columns: Sequence[str], part: str
) -> tuple[dict[str, tuple[Value | None, ...]], tuple[str, ...]]:
    """Return the printed rows by method, and a note where the paper has none for us."""
    name = getattr(experiment.paper, task)
    if name is None:
        return {}, ()
    printed = read_paper_table(name, part)
    rows = {
        method: tuple(
            Value(v, None, 1) if (v := cells.get(c)) is not None else None for c in columns
        )
        for method, cells in printed.items()
    }
    lacking = [m.row for m in experiment.methods if not rows.keys() & {m.row, m.name}]
    note = (
        f"No printed row of {name} is on file for: {'; '.join(lacking)} (configs/paper/{name}.csv)."
    )
    return rows, (note,) if lacking else ()


def read_paper_table(name: str, part: str = "") -> dict[str, dict[str, float | None]]:
    """Return a printed table, ``{method: {column: value or None}}``, from configs/paper.

    Of a table with a column "part" come the rows of that part. Raises InputError for an unknown
    table.
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
        if row.pop("part", "") == part
    }


def deviations(experiment: ExperimentSpec, task: Task) -> tuple[str, ...]:
    """Return every known way in which a table differs from the paper's protocol."""
    spec = getattr(experiment, task)
    dataset = spec.dataset
    found = [DETECTOR_DEVIATION] if task == "detection" else []
    found.append(COLOR_DEVIATION.format(color=dataset.color))
    drawn = dataset.labels or dataset.split  # else there is no split at all: all pairs are scored
    if dataset.scenes is not None:
        found.append("The images are drawn (embedded scenes); they say nothing about the world.")
    elif drawn and not dataset.comes_split and not (dataset.split and dataset.split.file):
        split = dataset.split or SplitSpec()
        ratios = ":".join(map(str, split.ratios))
        found.append(SPLIT_DEVIATION.format(name=dataset.name, seed=split.seed, ratios=ratios))
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
