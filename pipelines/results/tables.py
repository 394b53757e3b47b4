"""The tables: ours, the paper's row beneath, the difference, and every deviation under them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fusion.errors import InputError, did_you_mean
from pipelines.results.evidence import Evidence, conclude
from pipelines.results.finished import Results
from pipelines.results.rows.quality import quality_row, with_mean_ranks
from pipelines.results.rows.shares import CORRECTED, COVERED, ONE_SEED, share_row
from pipelines.results.values import Measured, Row, Table, Value, difference
from pipelines.specs.dataset import SplitSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import config_path, read_yaml
from pipelines.specs.tasks import TaskSpec
from pipelines.tasks.task import Task

COLOR_DEVIATION = (
    "Fused images are the fused luminance with the {color} image's Cb and Cr reattached; infrared "
    "is gray, visible is the colour image itself."
)
SPLIT_DEVIATION = (
    "{name} has no published split: ours is drawn by seed {seed}, {ratios} in whole scenes, "
    "because consecutive frames are near-duplicates."
)


def experiment_evidence(results: Results) -> tuple[Evidence, ...]:
    """Return the tables of an experiment's tasks from whatever is finished, and what they support.

    One per task, or one per part of the dataset where `scoring.by_part` says so. Resampling a cell
    takes about half a second the first time and is then kept in the store.
    """
    return tuple(
        _evidence(results, task, part)
        for task in results.plan.tasks
        for part in _parts(results.plan.experiment.sections[task.name])
    )


def _parts(spec: TaskSpec) -> tuple[str, ...]:
    return spec.dataset.parts if getattr(spec, "by_part", False) else ("",)


def _evidence(results: Results, task: Task, part: str) -> Evidence:
    experiment = results.plan.experiment
    spec = experiment.sections[task.name]
    columns = task.columns(spec)
    printed, notes = _paper_rows(experiment, task, columns, part)
    rows: list[Row] = []
    measured: dict[str, Measured] = {}
    for method in experiment.methods:
        done = results.of(task.name, method.row)
        scores = (
            quality_row(done, part, columns)
            if task.per_image
            else share_row(done, results.store, len(columns))
        )
        ours = Row(method.row, "ours", scores.values, len(done), len(experiment.seeds))
        rows.append(ours)
        notes = (*notes, *scores.notes)
        if scores.measured is not None:
            measured[method.row] = scores.measured
        if (values := printed.get(method.row, printed.get(method.name))) is not None:
            paper = Row("  paper", "paper", values, 1, 1)
            rows += [paper, difference(ours, paper)]
    seeds = len(experiment.seeds)
    if measured and not task.per_image:
        notes = (*notes, COVERED, CORRECTED, *((ONE_SEED,) if seeds == 1 else ()))
    if seeds > 1:
        notes = (f"Mean and standard deviation over {seeds} seeds.", *notes)
    whose = f"{spec.dataset.name} {part}".strip()
    title = f"{experiment.name}: {task.name} on {whose}, {task.metric}"
    differing, name = deviations(experiment, task), f"{task.name}-{part}".strip("-")
    table = Table(title, task.name, columns, tuple(rows), notes, differing, name)
    visible = next((m.row for m in experiment.methods if m.name == "visible"), None)
    if task.per_image:
        table = with_mean_ranks(table, getattr(spec, "convention", "paper"))
    return conclude(table, measured, visible)


def _paper_rows(
    experiment: ExperimentSpec, task: Task, columns: Sequence[str], part: str
) -> tuple[dict[str, tuple[Value | None, ...]], tuple[str, ...]]:
    """Return the printed rows by method, and a note where the paper has none for us."""
    name = experiment.paper.get(task.name)
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
    spec = experiment.sections[task.name]
    dataset = spec.dataset
    found = [*task.deviations(spec)]
    found.append(COLOR_DEVIATION.format(color=dataset.color))
    drawn = dataset.labels or dataset.split  # else there is no split at all: all pairs are scored
    if dataset.scenes is not None:
        found.append("The images are drawn (embedded scenes); they say nothing about the world.")
    elif drawn and not dataset.comes_split and not (dataset.split and dataset.split.file):
        split = dataset.split or SplitSpec()
        ratios = ":".join(map(str, split.ratios))
        found.append(SPLIT_DEVIATION.format(name=dataset.name, seed=split.seed, ratios=ratios))
    found += [*dataset.notes, *experiment.deviations]
    paper = experiment.paper.get(task.name)
    if paper is not None and paper != experiment.name:
        found += _protocol_differences(experiment, task, paper)
    return tuple(found)


def _protocol_differences(experiment: ExperimentSpec, task: Task, paper: str) -> list[str]:
    """Compare the budget with the shipped experiment that follows the paper to the letter."""
    mine = experiment.sections[task.name]
    protocol = {**read_yaml(config_path("experiments", paper))[task.name], "dataset": mine.dataset}
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
