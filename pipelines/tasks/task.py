"""What a task is: all that planning, tables and views ask of detection, segmentation and scoring.

A task is one file of this folder that assigns a `Task` to TASK; it is found by that, and nothing
else names it. What takes long to import belongs into the bodies of its functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError, did_you_mean
from pipelines.datasets.dataset import Dataset
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Stage
from pipelines.tasks.facts import Facts
from pipelines.tasks.work import Measure

HOME = "pipelines.tasks"

Floats = NDArray[np.float64]
Score = float | None
"""A share in [0, 1]; None where a class is absent."""


@dataclass(frozen=True)
class Images:
    """What a task begins with: the stage that fuses a dataset, and the one that indexed it.

    `channels` are those of the fused images: 4 where infrared stands beside RGB.
    """

    fused: Stage
    index: Stage
    dataset: Dataset
    channels: int = 3

    @property
    def stages(self) -> dict[str, Stage]:
        """Both, by the names under which bodies find them."""
        return {"fused": self.fused, "index": self.index}


def widths(images: Images) -> dict[str, int]:
    """Return what a check must know of images that are no colour images."""
    return {} if images.channels == 3 else {"channels": images.channels}


@dataclass(frozen=True)
class Chain:
    """The stages of training, where there is one, and testing; before them `check` must pass."""

    stages: tuple[Stage, ...]
    check: Stage | None = None


class Kept(Protocol):
    """What the last stage of a task kept of its test images."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in the order of their resampling."""


@dataclass(frozen=True)
class History:
    """How a training's progress is read from the file that it leaves, one line an epoch.

    `loss` is the curve on the page, of a line; `validation` the same on validation images, nan or
    0 where there are none.
    """

    title: str
    file: str
    loss: Callable[[Mapping[str, float]], float]
    validation: Callable[[Mapping[str, float]], float] | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One way to measure what fused images are good for.

    `name` is the key of its section in an experiment, `section` the section's model; `verb` and
    `command` say what is done, in titles and on the command line. `metric` stands above its table,
    `headline` is the column that orders the methods, `compared` are those whose differences are
    tested, all where there are none.

    `columns` are those of its table, of a section. `chain` returns the stages from fused images to
    the last one, whose manifest holds the metrics; of these `scores` returns one a column, and
    `logged` all that there are by the names under which MLflow shows them. `read` returns what the
    last stage kept, from its folder, and `resample` the columns' scores when image n counts
    ``counts[r, n]`` times: float64[resamples, columns] from int32[resamples, images]. `pool` puts
    together what the folds of a cross-validation kept, where a score of all their images is right;
    else a score is the mean of the folds'. `join` returns the last stage in the place of `chain`'s
    where a row joins what several chains, by method, found, and `joining` says how; `stacking` says
    how images of four channels, RGB and infrared, are augmented. `objects` returns how many test
    objects each column rests on, by the same metrics as `scores`.

    With `per_image` the metrics are means over images, in units of their own, and the table is
    ordered by its mean rank: there are no `scores`, `read` and `resample`. A task that is not
    `seeded` draws no lots of its own. `histories` are those of its trainings, by the kind of
    stage; `works` measure how much there is to do, of every kind. `paper` names the printed table
    whose protocol a section is compared with unless the experiment names another, `deviations`
    says how the task itself differs from the paper's, and `order` sorts the tables. Of a section
    with a grid there is a task for each `point`, which ends its name.
    """

    name: str
    verb: str
    command: str
    metric: str
    headline: str
    section: type[TaskSpec]
    columns: Callable[[Any], tuple[str, ...]]
    chain: Callable[[Any, int, Images, Facts], Chain]
    logged: Callable[[Mapping[str, Any]], dict[str, Score]]
    compared: tuple[str, ...] = ()
    scores: Callable[[Mapping[str, Any], Any], Sequence[Score]] | None = None
    read: Callable[[Path, Any], Kept] | None = None
    resample: Callable[[Any, NDArray[np.int32]], Floats] | None = None
    pool: Callable[[Sequence[Any]], Kept] | None = None
    join: Callable[[Any, Mapping[str, Chain], Images], Stage] | None = None
    objects: Callable[[Mapping[str, Any], Any], Sequence[int | None]] | None = None
    joining: str = ""
    stacking: str = ""
    histories: Mapping[str, History] = field(default_factory=dict)
    paper: str = ""
    works: Mapping[str, Measure] = field(default_factory=dict)
    deviations: Callable[[Any], tuple[str, ...]] = lambda _: ()
    per_image: bool = False
    seeded: bool = True
    order: int = 100
    point: str = ""

    @property
    def by(self) -> str:
        """What titles of stages say of the point."""
        return f" by {self.point}" if self.point else ""

    @property
    def key(self) -> str:
        """The key of its section: its name, but for the point of the section's grid."""
        return self.name.removesuffix(self.point).rstrip()

    def headline_score(self, metrics: Mapping[str, Any]) -> Score:
        """Return a cell's score in the column that orders the methods."""
        return self.logged(metrics).get(self.headline)


_ADDED: dict[str, Task] = {}


def register(task: Task) -> None:
    """Add a task that is no file of this folder; one of the same name is replaced."""
    _ADDED[task.name] = task


def unregister(name: str) -> None:
    """Take back a task that was registered."""
    del _ADDED[name]


@cache
def _shipped() -> dict[str, Task]:
    modules = (
        import_module(f"{HOME}.{m.name}") for m in iter_modules(import_module(HOME).__path__)
    )
    found = (getattr(module, "TASK", None) for module in modules)
    return {task.name: task for task in found if task is not None}


def tasks() -> tuple[Task, ...]:
    """Return all tasks in the order of the tables."""
    return tuple(sorted({**_shipped(), **_ADDED}.values(), key=lambda task: task.order))


def task_of(name: str) -> Task:
    """Return a task by its name; raises InputError for an unknown one."""
    known, (key, _, point) = {task.name: task for task in tasks()}, name.partition(" ")
    if key not in known:
        raise InputError(f'There is no task "{key}".{did_you_mean(key, list(known))}')
    return _at(known[key], point) if point else known[key]


@cache
def _at(task: Task, point: str) -> Task:
    return replace(task, name=f"{task.name} {point}", point=point)


def tasks_with(experiment: ExperimentSpec, wanted: Iterable[Task]) -> tuple[Task, ...]:
    """Return those of `wanted` that an experiment has a section for, one for each of its points."""
    names = [(name.partition(" ")[0], name) for name in experiment.sections]
    return tuple(
        task if name == task.name else task_of(name)
        for task in wanted
        for key, name in names
        if key == task.name
    )


def sections() -> dict[str, type[TaskSpec]]:
    """Return each task's section of an experiment, by the task's name."""
    return {task.name: task.section for task in tasks()}
