"""The plan: an experiment's cells (method x task x seed), each a chain of stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from fusion.perturb import Perturbation
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.execution.job import Metrics, Report
from pipelines.execution.runner import NO_SLOT, Step, job_of, make_here, make_stage
from pipelines.execution.worker import Worker
from pipelines.specs.experiment import DatasetSpec, ExperimentSpec, MethodSpec, Task
from pipelines.specs.perturbation import WORDS
from pipelines.store.digests import derive_seed, digest, names_digest
from pipelines.store.store import Stage, Store
from pipelines.tasks.chains import (
    Chain,
    detector_chain,
    local_of,
    method_check,
    perturbed_stages,
    scoring_chain,
    segmenter_chain,
    stage_of,
    weights_digest,
)
from pipelines.tasks.facts import Facts

CHECK_SECONDS = 600.0
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


@dataclass(frozen=True, eq=False)
class Cell:
    """One number-giving unit: a method's images, clean or disturbed, one task, one seed."""

    method: MethodSpec
    task: Task
    seed: int
    steps: tuple[Step, ...]
    perturbation: Perturbation | None = None

    @property
    def title(self) -> str:
        """For people: method, task and seed, and the disturbance if there is one."""
        disturbed = f" / {self.perturbation.label}" if self.perturbation else ""
        return f"{self.method.row} / {self.task} / seed {self.seed}{disturbed}"

    @property
    def result(self) -> Stage:
        """The stage whose manifest holds the scores."""
        return self.steps[-1].stages[-1]

    @property
    def trains_fusion(self) -> bool:
        """Whether the chain begins with the training of a fusion network."""
        return self.steps[0].stages[0].kind == "train_fusion"

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

    @property
    def sweeps(self) -> tuple[Step, ...]:
        """The perturbed cells' steps, put together: a curve's strengths share one subprocess."""
        stages: dict[str, list[Stage]] = {}
        for step in (step for cell in self.perturbed for step in cell.steps):
            stages.setdefault(step.title, []).extend(step.stages)
        return tuple(Step(title, tuple(made)) for title, made in stages.items())

    @property
    def digest(self) -> str:
        """Identifies the whole experiment, data included."""
        return digest(sorted(cell.result.key for cell in self.cells))[:16]


class Planner:
    """Turns a spec into stages; draws scenes, splits and indexes on the way, but trains nothing."""

    def __init__(self, store: Store, report: Callable[[str], Report]) -> None:
        self._store = store
        self._report = report
        self._known = Facts(store.digests)
        self._opened: dict[str, tuple[Dataset, Stage] | InputError] = {}
        self._checks = ExitStack()
        self._checker: Worker | None = None

    def __enter__(self) -> Planner:
        return self

    def __exit__(self, *_: object) -> None:
        self._checks.close()

    def check(self, stage: Stage) -> None:
        """Build a network once, in a subprocess that all checks share; raises InputError."""

        def execute(stage: Stage, out: Path) -> Metrics:
            if self._checker is None:
                self._checker = self._checks.enter_context(Worker("cpu", 1, CHECK_SECONDS))
            return self._checker.run(job_of(stage, self._store), out, self._report(stage.kind))

        make_stage(stage, self._store, execute, NO_SLOT)

    def settle(self, spec: DatasetSpec) -> DatasetSpec:
        """Return `spec` with its scenes drawn and its split in a file."""
        if spec.scenes is not None:
            stage = stage_of("scenes", spec.scenes.model_dump())
            folder = make_here(stage, self._store, self._report("drawing scenes"))
            given: dict[str, Any] = {"scenes": None, "root": folder / spec.layout}
            if not spec.comes_split:
                given["split"] = {"file": str(folder / spec.layout / "split.yaml")}
            return DatasetSpec.model_validate({**spec.model_dump(), **given})
        unlabelled = spec.labels is None and spec.split is None
        if unlabelled or spec.comes_split or (spec.split and spec.split.file):
            return spec
        bare = open_dataset(spec.model_copy(update={"split": None}))
        drawn = spec.split.model_dump() if spec.split else {"ratios": (8, 1, 1), "seed": 0}
        stage = stage_of(
            "split",
            {
                "pairs": bare.pairs_digest(self._store.digests),
                "ratios": drawn["ratios"],
                "seed": drawn["seed"],
            },
            local={"dataset": bare.spec.model_dump(mode="json")},
        )
        folder = make_here(stage, self._store, self._report("finding near-duplicate frames"))
        return DatasetSpec.model_validate(
            {**spec.model_dump(), "split": {"file": str(folder / "split.yaml")}}
        )

    def open(self, spec: DatasetSpec) -> tuple[Dataset, Stage]:
        """Open and verify a dataset; return it with its index stage.

        Raises InputError for the first problem found in any of its files, and again for every
        cell that asks: the files are looked through once.
        """
        key = digest(spec.model_dump(mode="json"))
        if key not in self._opened:
            try:
                self._opened[key] = self._verified(spec)
            except InputError as error:
                self._opened[key] = error
        found = self._opened[key]
        if isinstance(found, InputError):
            raise InputError(*found.args) from found
        return found

    def _verified(self, spec: DatasetSpec) -> tuple[Dataset, Stage]:
        dataset = open_dataset(self.settle(spec))
        digests = self._store.digests
        facts = {
            "pairs": dataset.pairs_digest(digests),
            "labels": dataset.labels_digest(digests),
            "split": dataset.split_digest(),
            "layout": spec.layout,
            "classes": list(spec.classes),
        }
        stage = stage_of("index", facts, local=local_of(dataset))
        make_here(stage, self._store, self._report(f"checking {spec.name}"))
        return dataset, stage

    def weights(self, method: MethodSpec, seed: int) -> Stage | None:
        """Return the stage that trains `method`, or None when nothing is to be trained."""
        if method.train is None:
            return None
        dataset, index = self.open(method.train.dataset)
        if not dataset.splits:
            raise InputError(
                f'{method.row} is to be trained on "{dataset.spec.name}", which has no split; '
                f"give the dataset split.ratios, split.file, or folders per split."
            )
        own = method.train.model_dump(exclude={"dataset", "seed"})
        fixed = method.train.seed if method.train.seed is not None else seed
        spec = {
            "method": method.name,
            "params": method.params,
            "code": self._known.code(method.name),
            "pairs": self._known.splits(dataset, index.key),
            "settings": {**own, "seed": derive_seed("fusion", fixed)},
        }
        return stage_of("train_fusion", spec, local=local_of(dataset))

    def fused(self, method: MethodSpec, spec: DatasetSpec, seed: int) -> tuple[Stage, Stage | None]:
        """Return the stage that fuses a dataset, and the one that trains its weights, if any."""
        dataset, index = self.open(spec)
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
        if "folder" in method.params:  # images made elsewhere count by their bytes
            images = self._known.folder(Path(method.params["folder"]))
            facts["folder"] = names_digest(images)
        return stage_of("fuse", facts, {"weights": training} if training else {}, local), training

    def cell(self, experiment: ExperimentSpec, method: MethodSpec, task: Task, seed: int) -> Cell:
        """Return one cell's chain of stages."""
        spec, images = getattr(experiment, task), images_of(experiment, task)
        dataset, index = self.open(images)
        self.check(method_check(method, dataset, self._known))
        if getattr(spec, "select", "last") == "best" and "val" not in dataset.splits:
            raise InputError(
                f'{task}.select is "best", but the dataset "{dataset.spec.name}" has no split '
                f'"val"; use select: last.'
            )
        fused, training = self.fused(method, images, seed)
        check, stages = CHAINS[task](spec, seed, fused, index, dataset, self._known)
        if check is not None:
            self.check(check)
        # Failures are told by title, so no two stages may share one.
        own = f" (seed {seed})" if training is not None else ""
        steps = [Step(f"fuse {method.row} on {dataset.spec.name}{own}", (fused,))]
        if training is not None:
            steps.insert(0, Step(f"train {method.row} (seed {seed})", (training,)))
        drawn = own if task == "scoring" else f" (seed {seed})"
        steps.append(Step(f"{VERBS[task]} {method.row}{drawn}", stages))
        return Cell(method, task, seed, tuple(steps))

    def perturbed(self, clean: Cell, perturbation: Perturbation) -> Cell:
        """Return the cell that shows disturbed test pairs to the networks of `clean`."""
        title = f"{VERBS[clean.task]} {clean.method.row} under {WORDS[perturbation.kind]}"
        stages = perturbed_stages(clean.result, perturbation, self._known)
        step = Step(f"{title} (seed {clean.seed})", stages)
        return replace(clean, steps=(step,), perturbation=perturbation)


def fuses(method: MethodSpec) -> bool:
    """Whether `method` makes its images here, so that disturbed pairs can be fused."""
    return "folder" not in method.params


def perturbations(experiment: ExperimentSpec, cell: Cell) -> tuple[Perturbation, ...]:
    """Return what the test pairs of a clean cell are to be disturbed by."""
    if experiment.perturb is None or cell.task == "scoring" or not fuses(cell.method):
        return ()
    return experiment.perturb.perturbations


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
    report: Callable[[str], Report],
) -> Plan:
    """Resolve an experiment whole: every cell a chain of stages, or the reason why it cannot run.

    A bad dataset or checkpoint blocks its cells only; the others are planned.
    """
    cells: list[Cell] = []
    perturbed: list[Cell] = []
    blocked: list[tuple[str, str]] = []
    wanted = [task for task in tasks if getattr(experiment, task) is not None]
    with Planner(store, report) as planner:
        for task, method, seed in product(wanted, experiment.methods, experiment.seeds):
            try:
                cells.append(planner.cell(experiment, method, task, seed))
                found = perturbations(experiment, cells[-1])
                perturbed += [planner.perturbed(cells[-1], one) for one in found]
            except InputError as error:
                blocked.append((f"{method.row} / {task} / seed {seed}", str(error)))
    return Plan(experiment, tuple(cells), tuple(blocked), tuple(perturbed))
