"""The planner: a spec becomes a plan, every cell a chain of stages; nothing is made here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import product

from fusion.errors import InputError
from fusion.perturb import Perturbation
from pipelines.datasets.dataset import Dataset
from pipelines.execution.job import Progress
from pipelines.execution.runner import Start, Step
from pipelines.execution.worker import Worker
from pipelines.planning.folding import at_fold, folds_of, lot, trained_on
from pipelines.planning.lending import lender
from pipelines.planning.plan import Cell, Fold, Plan
from pipelines.planning.preparation import Preparation
from pipelines.planning.undersampled import undersampled_checks, undersampled_steps
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.method import MethodSpec
from pipelines.specs.perturbation import WORDS, Disturbance
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.facts import Facts
from pipelines.tasks.fusion import (
    PRETRAIN,
    fusing_stage,
    method_check,
    perturbed_stages,
    training_stages,
)
from pipelines.tasks.task import Chain, Images, Task, task_of, tasks_with


class Planner:
    """Derives the stages of an experiment's cells.

    `open_dataset` returns a dataset that has been checked, and its index stage; it raises
    InputError for one with a problem. `known` looks up the facts that stages are made of.
    """

    def __init__(
        self, open_dataset: Callable[[DatasetSpec], tuple[Dataset, Stage]], known: Facts
    ) -> None:
        self._open = open_dataset
        self._known = known

    def weights(
        self, method: MethodSpec, tested: DatasetSpec, seed: int, fold: Fold | None = None
    ) -> tuple[Stage, ...]:
        """Return the stages that train `method`, the last of which leaves its weights, if any."""
        if method.train is None:
            return ()
        dataset, index = self._open(trained_on(method, tested, fold))
        if not dataset.splits:
            raise InputError(
                f'{method.row} is to be trained on "{dataset.spec.name}", which has no split; '
                f"give the dataset split.ratios, split.file, or folders per split."
            )
        return training_stages(method, dataset, index, lot(seed, fold), self._known)

    def fused(
        self, method: MethodSpec, spec: DatasetSpec, seed: int, fold: Fold | None = None
    ) -> tuple[Stage, tuple[Stage, ...]]:
        """Return the stage that fuses a dataset, and those that train its weights, if any."""
        dataset, index = self._open(spec)
        trainings = self.weights(method, spec, seed, fold)
        last = trainings[-1] if trainings else None
        return fusing_stage(method, dataset, index, last, self._known), trainings

    def cell(
        self,
        experiment: ExperimentSpec,
        method: MethodSpec,
        task: Task,
        seed: int,
        fold: Fold | None = None,
    ) -> tuple[Cell, tuple[Stage, ...]]:
        """Return one cell's chain of stages, and the checks to pass before any of them is made."""
        if method.joined:
            return self._joined(experiment, method, task, seed, fold)
        spec, images = experiment.sections[task.name], images_of(experiment, task, fold)
        dataset, index = self._open(images)
        builds = method_check(method, dataset, self._known)
        if _chooses(spec) and "val" not in dataset.splits:
            raise InputError(
                f'{task.name}.select is "best", but the dataset "{dataset.spec.name}" has no split '
                f'"val"; use select: last.'
            )
        fused, trainings = self.fused(method, images, seed, fold)
        channels = 4 if self._known.card(method.name).stacked else 3
        given = Images(fused, index, dataset, channels)
        chain = task.chain(spec, lot(seed, fold), given, self._known)
        cell = Cell(method, task, seed, (), fold=fold)
        # Failures are told by title, so no two stages may share one.
        own = f" ({cell.lot})" if trainings else ""
        steps = [Step(f"fuse {method.row} on {dataset.spec.name}{own}", (fused,))]
        for training in reversed(trainings):
            verb = "pretrain" if training.kind.name == PRETRAIN.name else "train"
            steps.insert(0, Step(f"{verb} {method.row} ({cell.lot})", (training,)))
        drawn = f" ({cell.lot})" if task.seeded else own or (f" ({fold.label})" if fold else "")
        steps.append(Step(f"{task.verb} {method.row}{task.by}{drawn}", chain.stages))
        checks = (builds,) if chain.check is None else (builds, chain.check)
        return replace(cell, steps=tuple(steps)), checks

    def _joined(
        self,
        experiment: ExperimentSpec,
        method: MethodSpec,
        task: Task,
        seed: int,
        fold: Fold | None,
    ) -> tuple[Cell, tuple[Stage, ...]]:
        """Return the cell of a row that joins others: their stages, shared with them, and its own.

        What it is shown upon are the images of the last of them.
        """
        spec = experiment.sections[task.name]
        if task.join is None:
            raise InputError(f"{task.name} cannot join several networks; take {method.row} out.")
        made = {one.name: self.cell(experiment, one, task, seed, fold) for one in method.joined}
        chains = {name: Chain(cell.steps[-1].stages) for name, (cell, _) in made.items()}
        dataset, index = self._open(images_of(experiment, task, fold))
        fused = list(made.values())[-1][0].result.inputs["fused"]
        last = task.join(spec, chains, Images(fused, index, dataset))
        cell = Cell(method, task, seed, (), fold=fold)
        drawn = f" ({cell.lot})" if task.seeded else ""
        steps = [step for cell, _ in made.values() for step in cell.steps]
        steps.append(Step(f"{task.verb} {method.row}{task.by}{drawn}", (last,)))
        checks = tuple(check for _, own in made.values() for check in own)
        return replace(cell, steps=tuple(steps)), checks

    def perturbations(self, experiment: ExperimentSpec, cell: Cell) -> tuple[Disturbance, ...]:
        """Return what the test pairs of a clean cell are to be disturbed by.

        Images that were made elsewhere, of clean pairs, show nothing of a disturbance.
        """
        if self._known.card(cell.method.name).premade:
            return ()
        if cell.task.per_image:
            return experiment.reconstruction.undersamplings if experiment.reconstruction else ()
        return experiment.perturb.perturbations if experiment.perturb else ()

    def perturbed(self, experiment: ExperimentSpec, clean: Cell, how: Disturbance) -> Cell:
        """Return the cell that shows disturbed test pairs to the networks of `clean`."""
        spec, steps = experiment.reconstruction, tuple[Step, ...]()
        if isinstance(how, Perturbation):
            title = f"{clean.task.verb} {clean.method.row}{clean.task.by} under {WORDS[how.kind]}"
            stages = perturbed_stages(clean.result, how, self._known)
            steps = (Step(f"{title} ({clean.lot})", stages),)
        elif spec is not None:
            steps = undersampled_steps(clean, how, spec, self._open, self._known)
        return replace(clean, steps=steps, perturbation=how)

    def checks_of_slices(self, experiment: ExperimentSpec, clean: Cell) -> tuple[Stage, ...]:
        """Return the checks to pass before the slices of a clean cell are undersampled."""
        spec = experiment.reconstruction
        if spec is None or not clean.task.per_image:
            return ()
        return undersampled_checks(clean, spec, self._open)


def images_of(experiment: ExperimentSpec, task: Task, fold: Fold | None = None) -> DatasetSpec:
    """Return what is fused for a task: for scores the test images, unless another task needs all.

    Fused images are made once where two tasks look at the same folders. Of a fold's images some
    are for validation where an epoch is chosen.
    """
    section = experiment.sections[task.name]
    dataset = at_fold(section.dataset, fold, validated=_chooses(section))
    others = [
        other.dataset for name, other in experiment.sections.items() if not task_of(name).per_image
    ]
    shared = any(_folders(other) == _folders(dataset) for other in others)
    return dataset.test_alone if task.per_image and not shared else dataset


def _chooses(spec: TaskSpec) -> bool:
    return getattr(spec, "select", "last") == "best"


def _folders(spec: DatasetSpec) -> tuple[object, ...]:
    return spec.root, spec.infrared, spec.visible, spec.color


def points(
    wanted: Iterable[Task], experiment: ExperimentSpec
) -> Iterator[tuple[Task, MethodSpec, int, Fold | None]]:
    """Yield what cells there are to be, in the order in which they are run."""
    for task in wanted:
        folds = folds_of(experiment.sections[task.name].dataset)
        for method, seed in product(experiment.methods, experiment.all_seeds):
            yield from ((task, method, seed, fold) for fold in folds)


def make_plan(
    experiment: ExperimentSpec,
    store: Store,
    tasks: Iterable[Task],
    report: Callable[[str], Progress],
    start: Start = Worker,
) -> Plan:
    """Resolve an experiment whole: every cell a chain of stages, or the reason why it cannot run.

    A bad dataset or checkpoint blocks its cells only; the others are planned. Raises InputError
    where another experiment is to lend a seed variance, and has none.
    """
    lender(experiment, store)
    cells: list[Cell] = []
    perturbed: list[Cell] = []
    blocked: list[tuple[str, str]] = []
    wanted = tasks_with(experiment, tasks)
    with Preparation(store, report, start) as ready:
        planner = Planner(ready.open, Facts(store.digests))
        for task, method, seed, fold in points(wanted, experiment):
            if task.per_image and not method.makes_images:
                continue  # there is nothing to score
            try:
                cell, checks = planner.cell(experiment, method, task, seed, fold)
                for check in (*checks, *planner.checks_of_slices(experiment, cell)):
                    ready.check(check)
                found = planner.perturbations(experiment, cell)
                perturbed += [planner.perturbed(experiment, cell, one) for one in found]
                cells.append(cell)
            except InputError as error:
                title = Cell(method, task, seed, (), fold=fold).title
                blocked.append((title, str(error)))
    return Plan(experiment, tuple(cells), tuple(blocked), tuple(perturbed), wanted)
