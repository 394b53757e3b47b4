"""What a plan rests on, made ready: scenes drawn, splits written, datasets and networks checked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.datasets.split_files import read_scenes
from pipelines.execution.job import Progress
from pipelines.execution.runner import NO_SLOT, Start, job_of, make_here, make_stage
from pipelines.execution.worker import Worker
from pipelines.specs.dataset import DatasetSpec, SplitSpec
from pipelines.store.digests import digest
from pipelines.store.stage import Metrics, Stage, stage_of
from pipelines.store.store import Store
from pipelines.tasks.facts import local_of
from pipelines.tasks.inputs import INDEX, NEAR_DUPLICATES, SCENES, SCENES_FILE, SPLIT

CHECK_SECONDS = 600.0


class Preparation:
    """Settles, opens and checks; what it makes is kept in the store, and nothing is trained.

    `report` makes a report of progress from a title; `start` starts the subprocess that all
    checks of networks share, which ends with the block.
    """

    def __init__(
        self, store: Store, report: Callable[[str], Progress], start: Start = Worker
    ) -> None:
        self._store = store
        self._report = report
        self._start = start
        self._opened: dict[str, tuple[Dataset, Stage] | InputError] = {}
        self._checks = ExitStack()
        self._checker: Worker | None = None

    def __enter__(self) -> Preparation:
        return self

    def __exit__(self, *_: object) -> None:
        self._checks.close()

    def check(self, stage: Stage) -> None:
        """Build a network once, in a subprocess that all checks share; raises InputError."""

        def execute(stage: Stage, out: Path) -> Metrics:
            if self._checker is None:
                self._checker = self._checks.enter_context(self._start("cpu", 1, CHECK_SECONDS))
            return self._checker.run(job_of(stage, self._store), out, self._report(stage.kind.name))

        make_stage(stage, self._store, execute, NO_SLOT)

    def settle(self, spec: DatasetSpec) -> DatasetSpec:
        """Return `spec` with its scenes drawn and its split in a file."""
        if spec.scenes is not None:
            stage = stage_of(SCENES, spec.scenes.model_dump())
            folder = make_here(stage, self._store, self._report("drawing scenes"))
            given: dict[str, Any] = {"scenes": None, "root": folder / spec.layout}
            given["near_duplicates"] = "none"  # each is drawn from lots of its own
            if not spec.comes_split and not (spec.split and spec.split.folds):
                given["split"] = {"file": str(folder / spec.layout / "split.yaml")}
            spec = DatasetSpec.model_validate({**spec.model_dump(), **given})
        unlabelled = spec.labels is None and spec.split is None
        if unlabelled or spec.comes_split or (spec.split and spec.split.file):
            return spec
        bare = open_dataset(spec.model_copy(update={"split": None}))
        split = spec.split or SplitSpec()
        facts = {
            "pairs": bare.pairs_digest(self._store.digests),
            "labels": bare.labels_digest(self._store.digests),
            "classes": list(spec.classes),
            "scenes": spec.near_duplicates == "found" or digest(dict(bare.scenes)),
            "seed": split.seed,
            **({"folds": split.folds} if split.folds else {"ratios": split.ratios}),
        }
        stage = stage_of(SPLIT, facts, local=local_of(bare))
        folder = make_here(stage, self._store, self._report("finding near-duplicate frames"))
        return spec.model_copy(
            update={"split": split.model_copy(update={"file": folder / "split.yaml"})}
        )

    def _grouped(self, dataset: Dataset) -> Dataset:
        """Return a dataset with the scenes that its test images fall into, found unless known."""
        if dataset.scenes or dataset.spec.near_duplicates != "found":
            return dataset
        facts = {"pairs": dataset.pairs_digest(self._store.digests, dataset.test)}
        stage = stage_of(NEAR_DUPLICATES, facts, local=local_of(dataset))
        folder = make_here(stage, self._store, self._report("finding near-duplicate frames"))
        spec = dataset.spec.model_copy(update={"near_duplicates": folder / SCENES_FILE})
        return replace(dataset, spec=spec, scenes=read_scenes(spec))

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
        stage = stage_of(INDEX, facts, local=local_of(dataset))
        make_here(stage, self._store, self._report(f"checking {spec.name}"))
        return self._grouped(dataset), stage
