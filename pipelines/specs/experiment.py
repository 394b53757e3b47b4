"""An experiment as frozen, fully checked data: YAML in, nothing unknown, nothing implicit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, create_model, model_validator

from fusion.errors import did_you_mean
from pipelines.specs.base import Spec
from pipelines.specs.method import MethodSpec
from pipelines.specs.perturbation import PerturbSpec
from pipelines.specs.reconstruction import ReconstructionSpec
from pipelines.specs.tasks import TaskSpec, sections
from pipelines.specs.values.grid import MOST_POINTS, expand_grid
from pipelines.specs.values.names import Name
from pipelines.specs.values.seeds import SeedRace, Seeds

MOST_HOURS = 100_000.0
MOST_CELLS = 20_000
"""Rows by seeds by tables; more are no experiment, and take long to plan."""


class ExperimentSpec(Spec):
    """A comparison: methods x tasks x seeds; its name becomes a folder.

    Its model, which `experiment_model` returns, has one more key for each task: the task's section.
    `paper` names for tasks the printed tables that stand beneath ours, TABLE/PART for a part.
    `seed_variance`, "from EXPERIMENT", lends methods of one seed the seed variance of a remembered
    experiment, or of a file of tables as JSON.
    """

    name: Name = Field(pattern=r"^\w[\w .-]*$")
    methods: tuple[MethodSpec, ...] = Field(min_length=1, max_length=MOST_POINTS)
    seeds: Seeds = (0,)
    seed_variance: str | None = Field(default=None, pattern=r"^from \S.*$")
    perturb: PerturbSpec | None = None
    reconstruction: ReconstructionSpec | None = None
    paper: dict[str, str | None] = Field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    timeout_hours: float = Field(default=96.0, gt=0, le=MOST_HOURS)

    _words: tuple[str, ...] = PrivateAttr(default=())

    @property
    def words(self) -> tuple[str, ...]:
        """How a command line names the experiment: its name or file, and what was changed."""
        return self._words or (self.name,)

    def asked_for_by(self, words: Iterable[str]) -> Self:
        """Return the same experiment, which remembers the words that named it."""
        copy = self.model_copy()
        copy._words = tuple(words)
        return copy

    @property
    def race(self) -> SeedRace | None:
        """How seeds are raced; None where they are a list."""
        return self.seeds if isinstance(self.seeds, SeedRace) else None

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The list of seeds, or all that a race may give."""
        return self.seeds.seeds if isinstance(self.seeds, SeedRace) else self.seeds

    @property
    def sections(self) -> Mapping[str, TaskSpec]:
        """The sections that the experiment has, by their tasks' names.

        One with a grid stands for a section at each of its points: a task's name, then the point.
        """
        return {
            f"{name} {words}".strip(): point
            for name in self.task_keys
            for words, point in getattr(self, name).points.items()
        }

    @property
    def task_keys(self) -> tuple[str, ...]:
        """The tasks that have a section."""
        return tuple(name for name in sections() if getattr(self, name, None) is not None)

    @model_validator(mode="before")
    @classmethod
    def _expand_grids(cls, data: Any) -> Any:
        methods = data.get("methods") if isinstance(data, dict) else None
        if not isinstance(methods, list) or not all(isinstance(m, dict) for m in methods):
            return data
        return {**data, "methods": [point for m in methods for point in expand_grid(m)]}

    @model_validator(mode="after")
    def _check(self) -> ExperimentSpec:
        rows = [method.row for method in self.methods]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if twice:
            raise ValueError(f'two methods are called "{twice[0]}"; give one of them a label')
        self._check_seeds()
        self._check_sections()
        self._check_paper()
        return self

    def _check_seeds(self) -> None:
        if len(set(self.all_seeds)) != len(self.all_seeds) or not self.all_seeds:
            raise ValueError("seeds must be a list of different whole numbers")
        if self.seed_variance is not None and len(self.all_seeds) > 1:
            raise ValueError(
                f"seed_variance is for methods of one seed; these have {len(self.all_seeds)} of "
                f"their own: remove it"
            )
        if self.race is not None and len(self.methods) < 2:
            raise ValueError("seeds are raced among at least two methods; give a list of seeds")
        labelled = [name for name, one in sections().items() if one.labels_for is not None]
        if self.race is not None and not set(self.task_keys) & set(labelled):
            words = " or ".join(labelled)
            raise ValueError(f"seeds are raced by {words}, not by scores of images; give a list")

    def _check_sections(self) -> None:
        known = sections()
        cells = len(self.methods) * len(self.all_seeds) * len(self.sections)
        if cells > MOST_CELLS:
            raise ValueError(
                f"{len(self.methods):,} methods, {len(self.all_seeds):,} seeds and "
                f"{len(self.sections):,} tables are {cells:,} trainings, and at most "
                f"{MOST_CELLS:,} are planned; make several experiments of it"
            )
        if not self.task_keys:
            raise ValueError(f"give at least one of {_listed(known)}")
        labelled = [name for name, section in known.items() if section.labels_for is not None]
        if self.perturb is not None and not set(self.task_keys) & set(labelled):
            words = " or ".join(labelled)
            raise ValueError(f"perturb needs {words}; scores of images have none")
        if self.reconstruction is not None and "scoring" not in self.task_keys:
            raise ValueError("reconstruction needs scoring: fused images are compared with sources")
        for name, section in self.sections.items():
            dataset = section.dataset
            if section.labels_for not in (None, dataset.task):
                raise ValueError(
                    f"{name}.dataset is {dataset.name}, whose layout {dataset.layout} "
                    f"has no labels for {section.labels_for}"
                )

    def _check_paper(self) -> None:
        folder = Path(str(resources.files("configs"))) / "paper"
        tables, tasks = [path.stem for path in folder.glob("*.csv")], list(sections())
        for task, table in self.paper.items():
            if task not in tasks:
                raise ValueError(f"paper.{task} is no task.{did_you_mean(task, tasks)}")
            if table is not None and table.partition("/")[0] not in tables:
                hint = did_you_mean(table, tables)
                raise ValueError(f'paper.{task}: there is no "{table}" in configs/paper.{hint}')


def experiment_model() -> type[ExperimentSpec]:
    """Return the model of an experiment, with a key for each task that there is."""
    return _model_of(tuple(sections().items()))


@cache
def _model_of(known: tuple[tuple[str, type[TaskSpec]], ...]) -> type[ExperimentSpec]:
    fields: dict[str, Any] = {name: (section | None, None) for name, section in known}
    return create_model("Experiment", __base__=ExperimentSpec, **fields)


def _listed(names: Mapping[str, Any]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}"
