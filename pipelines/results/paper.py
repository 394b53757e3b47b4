"""The paper beside us: its printed rows, and every known way in which a table differs from it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fusion.errors import InputError, did_you_mean
from pipelines.results.values import Value
from pipelines.specs.dataset import SplitSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import config_path, read_yaml
from pipelines.tasks.task import Task

COLOR_DEVIATION = (
    "Fused images are the fused luminance with the {color} image's Cb and Cr reattached; infrared "
    "is gray, visible is the colour image itself."
)
SPLIT_DEVIATION = (
    "{name} has no published split: ours is drawn by seed {seed}, {ratios} in whole scenes, "
    "because consecutive frames are near-duplicates."
)


def paper_rows(
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
