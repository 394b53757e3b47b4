"""The plan: an experiment's cells (method x task x seed), each a chain of stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.execution.runner import Step
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.method import MethodSpec
from pipelines.specs.perturbation import Disturbance
from pipelines.store.digests import digest
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.fusion import TRAININGS
from pipelines.tasks.task import Task


@dataclass(frozen=True)
class Fold:
    """One of the trainings that together test every image once, `number` from 0."""

    number: int
    of: int

    @property
    def label(self) -> str:
        """For people, who count from 1."""
        return f"fold {self.number + 1}"


@dataclass(frozen=True, eq=False)
class Cell:
    """One number-giving unit: a method's images, clean or disturbed, one task, one seed.

    Where the dataset is tested by folds it is of one `fold`, and a row's result of all of them.
    """

    method: MethodSpec
    task: Task
    seed: int
    steps: tuple[Step, ...]
    perturbation: Disturbance | None = None
    fold: Fold | None = None

    @property
    def lot(self) -> str:
        """Seed and fold, for people."""
        return f"seed {self.seed}{f', {self.fold.label}' if self.fold else ''}"

    @property
    def title(self) -> str:
        """For people: method, task and seed, and the disturbance if there is one."""
        disturbed = f" / {self.perturbation.label}" if self.perturbation else ""
        return f"{self.method.row} / {self.task.name} / {self.lot}{disturbed}"

    @property
    def result(self) -> Stage:
        """The stage whose manifest holds the scores."""
        return self.steps[-1].stages[-1]

    @property
    def trains_fusion(self) -> bool:
        """Whether the chain begins with the training of a fusion network."""
        return bool(self.trainings)

    @property
    def trainings(self) -> tuple[Step, ...]:
        """The steps that train the fusion network; the last one's stage leaves its weights."""
        return tuple(step for step in self.steps if step.stages[0].kind.name in TRAININGS)

    @property
    def stages(self) -> Iterator[Stage]:
        """All stages, in the order in which they are made."""
        return (stage for step in self.steps for stage in step.stages)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything an experiment will make, and what stands in the way."""

    experiment: ExperimentSpec
    cells: tuple[Cell, ...]
    blocked: tuple[tuple[str, str], ...]
    """Title of the cell and the sentence that says why it cannot run."""
    perturbed: tuple[Cell, ...] = ()
    """What the clean cells' networks make of disturbed test pairs."""
    wanted: tuple[Task, ...] = ()
    """The tasks that were asked for, in the order of the tables; else those of the cells."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the plan is about, also those of which every cell is blocked."""
        return self.wanted or tuple(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def upstream(self) -> tuple[tuple[Step, ...], ...]:
        """What comes before the perturbed cells' last steps: their images, where a step makes them.

        Like the clean cells' networks, it is needed by the `sweeps`.
        """
        return tuple(cell.steps[:-1] for cell in self.perturbed if cell.steps[1:])

    @property
    def sweeps(self) -> tuple[Step, ...]:
        """The perturbed cells' last steps, put together: strengths share one subprocess."""
        stages: dict[str, list[Stage]] = {}
        for step in (cell.steps[-1] for cell in self.perturbed):
            stages.setdefault(step.title, []).extend(step.stages)
        return tuple(Step(title, tuple(made)) for title, made in stages.items())

    def runnable_sweeps(self, store: Store) -> tuple[Step, ...]:
        """Return the sweeps whose networks and indexes are finished: the others' chains failed."""
        return tuple(step for step in self.sweeps if all(map(store.is_finished, _needed(step))))

    @property
    def digest(self) -> str:
        """Identifies the whole experiment, data included."""
        return digest(sorted(cell.result.key for cell in self.cells))[:16]


def _needed(step: Step) -> Iterator[Stage]:
    """Yield the inputs of a step's stages that the step does not make itself."""
    own = {stage.key for stage in step.stages}
    inputs = {source.key: source for stage in step.stages for source in stage.inputs.values()}
    return (source for key, source in inputs.items() if key not in own)
