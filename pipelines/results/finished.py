"""What an experiment's finished cells left, read once: every table and view begins here."""

from __future__ import annotations

import csv
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from pipelines.datasets.split_files import read_scenes
from pipelines.execution.usage import read_samples
from pipelines.planning.plan import Cell, Plan
from pipelines.results.statistics.race import Race
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Manifest, Stage
from pipelines.store.store import Reading, Store
from pipelines.store.trust import intact, is_image
from pipelines.tasks import fusion, reconstruction
from pipelines.tasks.task import History, Kept, Score, tasks

UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile),
    *(NotImplementedError, struct.error, zlib.error),
)
"""What reading a file that is gone or damaged raises."""


@dataclass(frozen=True, eq=False)
class FinishedStage:
    """One finished stage of a cell, and the folder that holds what it left."""

    stage: Stage
    manifest: Manifest
    folder: Path

    @property
    def history(self) -> History | None:
        """How its training's progress is read, where it is a training."""
        known = {**fusion.HISTORIES, **reconstruction.HISTORIES}
        for task in tasks():
            known |= task.histories
        return known.get(self.stage.kind.name)

    @cached_property
    def epochs(self) -> Sequence[Mapping[str, float]]:
        """The numbers of each epoch of a training; none where the file has been removed or damaged.

        Without validation images ultralytics' last line ends before the columns of their losses.
        """
        path = self.folder / self.history.file if self.history else None
        if path is None or not path.is_file() or not self.intact(path.relative_to(self.folder)):
            return ()
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                lines = csv.DictReader(stream, skipinitialspace=True)
                return [
                    {k.strip(): float(text) for k, text in row.items() if text} for row in lines
                ]
        except (ValueError, AttributeError):  # torn, and of before there were lists of files
            return ()

    def intact(self, *names: Path) -> bool:
        """Whether files are what was written; all but images and folders, if none is named."""
        own = names or [Path(path.name) for path in self.folder.glob("*.*") if not is_image(path)]
        return intact(self.folder, self.manifest, [name.as_posix() for name in own])

    @cached_property
    def samples(self) -> Sequence[Mapping[str, float]]:
        """What its process took while it ran, as `pipelines.execution.usage` wrote it."""
        return read_samples(self.folder)


@dataclass(frozen=True, eq=False)
class FinishedCell:
    """A cell whose scores are there, with those of its stages that nobody has removed."""

    cell: Cell
    spec: TaskSpec
    stages: tuple[FinishedStage, ...]

    @property
    def result(self) -> FinishedStage:
        """The stage that holds the scores."""
        return self.stages[-1]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What the last stage found out."""
        return self.result.manifest.metrics

    @property
    def scores(self) -> Sequence[Score]:
        """Shares in [0, 1], one a column of the task's table."""
        task = self.cell.task
        return task.scores(self.metrics, self.spec) if task.scores else ()

    @property
    def logged(self) -> dict[str, float]:
        """All scores by their full names, but for those that are undefined."""
        scores = self.cell.task.logged(self.metrics)
        return {name: float(value) for name, value in scores.items() if value is not None}

    @property
    def headline(self) -> Score:
        """The share in the column that orders the methods; None also for a task without one."""
        return self.cell.task.headline_score(self.metrics)

    @cached_property
    def kept(self) -> Kept | None:
        """What the last stage kept of every image; None where it cannot be read any more."""
        if self.cell.task.read is None or not self.result.intact():
            return None
        try:
            return self.cell.task.read(self.result.folder, self.spec)
        except UNREADABLE:
            return None

    @cached_property
    def scenes(self) -> Mapping[str, str]:
        """The scene of each test image by name; an image without one is its own.

        Raises InputError where the file that says so is gone.
        """
        dataset = self.cell.result.local.get("dataset")
        return read_scenes(DatasetSpec(**dataset)) if dataset else {}

    @property
    def fused(self) -> FinishedStage | None:
        """The stage that fused its images, where it has not been removed."""
        wanted = self.cell.result.inputs["fused"].key
        return next((stage for stage in self.stages if stage.stage.key == wanted), None)

    @property
    def seconds(self) -> float:
        """The time of the cell's own stages: training, where there is one, and testing."""
        own = {stage.key for stage in self.cell.steps[-1].stages}
        return sum(one.manifest.seconds for one in self.stages if one.stage.key in own)


@dataclass(frozen=True, eq=False)
class Results:
    """A plan with what is finished of it; `perturbed` are the cells of disturbed pairs.

    Where seeds are raced, the plan is of those that are due, `later` holds the others, and `races`
    say by task why.
    """

    plan: Plan
    store: Store
    cells: tuple[FinishedCell, ...]
    perturbed: tuple[FinishedCell, ...]
    races: Mapping[str, Race] = field(default_factory=dict)
    later: tuple[Cell, ...] = ()

    def of(self, task: str, row: str) -> list[FinishedCell]:
        """Return a method's finished cells of a task, in the order of the seeds."""
        mine = (one for one in self.cells if one.cell.method.row == row)
        return [one for one in mine if one.cell.task.name == task]

    def wanted(self, task: str, row: str) -> int:
        """Return how many seeds a method is to have got in a task."""
        rule, race = self.plan.experiment.race, self.races.get(task)
        if rule is None:
            return len(self.plan.experiment.all_seeds)
        return rule.at_least if race is None else race.due(row)

    @property
    def complete(self) -> bool:
        """Whether every planned cell is finished, the disturbed ones, too."""
        return (len(self.cells), len(self.perturbed)) == (
            len(self.plan.cells),
            len(self.plan.perturbed),
        )

    @property
    def trainings(self) -> Iterator[tuple[Cell, FinishedStage]]:
        """Every finished training once, with the first cell that it was for."""
        seen: set[str] = set()
        for one in self.cells:
            for stage in one.stages:
                if stage.history is not None and stage.stage.key not in seen:
                    seen.add(stage.stage.key)
                    yield one.cell, stage


def read_results(plan: Plan, store: Store) -> Results:
    """Read what is finished of a plan; every manifest is read once."""
    reading = Reading(store)
    cells, perturbed = (
        tuple(one for cell in own if (one := _finished(cell, plan, store, reading)) is not None)
        for own in (plan.cells, plan.perturbed)
    )
    return Results(plan, store, cells, perturbed)


def read_cell(cell: Cell, plan: Plan, store: Store) -> FinishedCell | None:
    """Return a cell of a plan if its scores are there."""
    return _finished(cell, plan, store, Reading(store))


def read_stage(stage: Stage, store: Store) -> FinishedStage | None:
    """Return a stage if it is finished, and holds what was written."""
    manifest = store.manifest(stage) if store.is_finished(stage) else None
    return FinishedStage(stage, manifest, store.directory(stage)) if manifest else None


def _finished(cell: Cell, plan: Plan, store: Store, reading: Reading) -> FinishedCell | None:
    if reading.manifest(cell.result) is None:
        return None
    found = [(stage, reading.manifest(stage)) for stage in cell.stages]
    stages = tuple(
        FinishedStage(stage, manifest, store.directory(stage))
        for stage, manifest in found
        if manifest is not None
    )
    return FinishedCell(cell, plan.experiment.sections[cell.task.name], stages)
