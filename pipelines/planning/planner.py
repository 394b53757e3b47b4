"""The planner: a spec becomes a plan, every cell a chain of stages; nothing is made here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

from fusion.errors import InputError
from fusion.perturb import Perturbation
from pipelines.datasets.dataset import Dataset
from pipelines.execution.job import Progress
from pipelines.execution.runner import Start, Step
from pipelines.execution.worker import Worker
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.preparation import Preparation
from pipelines.specs.dataset import DatasetSpec, Task
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.method import MethodSpec
from pipelines.specs.perturbation import WORDS
from pipelines.store.digests import derive_seed, names_digest
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.chains import (
    Chain,
    detector_chain,
    hashed,
    local_of,
    method_check,
    not_hashed,
    perturbed_stages,
    scoring_chain,
    segmenter_chain,
    stage_of,
    weights_digest,
)
from pipelines.tasks.facts import Facts

CHAINS: dict[Task, Callable[..., Chain]] = {
    "detection": detector_chain,
    "segmentation": segmenter_chain,
    "scoring": scoring_chain,
}
VERBS: dict[Task, str] = {
    "detection": "detect on",
    "segmentation": "segment on",
    "scoring": "score",
}


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

    def weights(self, method: MethodSpec, seed: int) -> Stage | None:
        """Return the stage that trains `method`, or None when nothing is to be trained."""
        if method.train is None:
            return None
        dataset, index = self._open(method.train.dataset)
        if not dataset.splits:
            raise InputError(
                f'{method.row} is to be trained on "{dataset.spec.name}", which has no split; '
                f"give the dataset split.ratios, split.file, or folders per split."
            )
        fixed = method.train.seed if method.train.seed is not None else seed
        spec = {
            "method": method.name,
            "params": method.params,
            "code": self._known.code(method.name),
            "pairs": self._known.splits(dataset, index.key),
            "settings": hashed(method.train),
            "seed": derive_seed("fusion", fixed),
        }
        local = {**local_of(dataset), **not_hashed(method.train)}
        return stage_of("train_fusion", spec, local=local)

    def fused(self, method: MethodSpec, spec: DatasetSpec, seed: int) -> tuple[Stage, Stage | None]:
        """Return the stage that fuses a dataset, and the one that trains its weights, if any."""
        dataset, index = self._open(spec)
        training = self.weights(method, seed)
        facts: dict[str, Any] = {
            "method": method.name,
            "params": method.params,
            "code": self._known.code(method.name),
            "pairs": index.spec["pairs"],
            "color": dataset.spec.color,
        }
        local = local_of(dataset)
        if method.checkpoint is not None:
            facts["checkpoint"] = weights_digest(method, method.checkpoint, self._known)
            local["checkpoint"] = str(method.checkpoint)
        images = self._known.image_folders(method.name, method.params)
        if images:  # made elsewhere, so that they count by their bytes
            facts["images"] = {key: names_digest(found) for key, found in images.items()}
        return stage_of("fuse", facts, {"weights": training} if training else {}, local), training

    def cell(
        self, experiment: ExperimentSpec, method: MethodSpec, task: Task, seed: int
    ) -> tuple[Cell, tuple[Stage, ...]]:
        """Return one cell's chain of stages, and the checks to pass before any of them is made."""
        spec, images = getattr(experiment, task), images_of(experiment, task)
        dataset, index = self._open(images)
        builds = method_check(method, dataset, self._known)
        if getattr(spec, "select", "last") == "best" and "val" not in dataset.splits:
            raise InputError(
                f'{task}.select is "best", but the dataset "{dataset.spec.name}" has no split '
                f'"val"; use select: last.'
            )
        fused, training = self.fused(method, images, seed)
        check, stages = CHAINS[task](spec, seed, fused, index, dataset, self._known)
        # Failures are told by title, so no two stages may share one.
        own = f" (seed {seed})" if training is not None else ""
        steps = [Step(f"fuse {method.row} on {dataset.spec.name}{own}", (fused,))]
        if training is not None:
            steps.insert(0, Step(f"train {method.row} (seed {seed})", (training,)))
        drawn = own if task == "scoring" else f" (seed {seed})"
        steps.append(Step(f"{VERBS[task]} {method.row}{drawn}", stages))
        checks = (builds,) if check is None else (builds, check)
        return Cell(method, task, seed, tuple(steps)), checks

    def perturbations(self, experiment: ExperimentSpec, cell: Cell) -> tuple[Perturbation, ...]:
        """Return what the test pairs of a clean cell are to be disturbed by.

        Images that were made elsewhere, of clean pairs, show nothing of a disturbance.
        """
        if experiment.perturb is None or cell.task == "scoring":
            return ()
        premade = self._known.card(cell.method.name).premade
        return () if premade else experiment.perturb.perturbations

    def perturbed(self, clean: Cell, perturbation: Perturbation) -> Cell:
        """Return the cell that shows disturbed test pairs to the networks of `clean`."""
        title = f"{VERBS[clean.task]} {clean.method.row} under {WORDS[perturbation.kind]}"
        stages = perturbed_stages(clean.result, perturbation, self._known)
        step = Step(f"{title} (seed {clean.seed})", stages)
        return replace(clean, steps=(step,), perturbation=perturbation)


def images_of(experiment: ExperimentSpec, task: Task) -> DatasetSpec:
    """Return what is fused for a task: for scores the test images, unless another task needs all.

    Fused images are made once where two tasks look at the same folders.
    """
    dataset: DatasetSpec = getattr(experiment, task).dataset
    others = [spec.dataset for spec in (experiment.detection, experiment.segmentation) if spec]
    shared = any(_folders(other) == _folders(dataset) for other in others)
    return dataset.test_alone if task == "scoring" and not shared else dataset


def _folders(spec: DatasetSpec) -> tuple[object, ...]:
    return spec.root, spec.infrared, spec.visible, spec.color


def make_plan(
    experiment: ExperimentSpec,
    store: Store,
    tasks: tuple[Task, ...],
    report: Callable[[str], Progress],
    start: Start = Worker,
) -> Plan:
    """Resolve an experiment whole: every cell a chain of stages, or the reason why it cannot run.

    A bad dataset or checkpoint blocks its cells only; the others are planned.
    """
    cells: list[Cell] = []
    perturbed: list[Cell] = []
    blocked: list[tuple[str, str]] = []
    wanted = [task for task in tasks if getattr(experiment, task) is not None]
    with Preparation(store, report, start) as ready:
        planner = Planner(ready.open, Facts(store.digests))
        for task, method, seed in product(wanted, experiment.methods, experiment.seeds):
            try:
                cell, checks = planner.cell(experiment, method, task, seed)
                for check in checks:
                    ready.check(check)
                found = planner.perturbations(experiment, cell)
                perturbed += [planner.perturbed(cell, one) for one in found]
                cells.append(cell)
            except InputError as error:
                blocked.append((f"{method.row} / {task} / seed {seed}", str(error)))
    return Plan(experiment, tuple(cells), tuple(blocked), tuple(perturbed))
