"""Contest: a task whose results are drawn by lots around each method's skill; nothing is trained.

Every image has its own difficulty, which all methods share, and every training its own luck.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from stages import commit

from pipelines.planning.plan import Cell
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Kind, stage_of
from pipelines.store.store import MANIFEST, Store
from pipelines.tasks.facts import Facts, local_of
from pipelines.tasks.task import Chain, Floats, History, Images, Task, register, unregister

TRAIN = Kind("train_contestant", 1, "", ("weights.pt",))
TEST = Kind("contest", 1, "")
IMAGES, OF_IMAGES, OF_SEEDS = 60, 0.1, 0.01
"""How many images; the spread of a method's results over images, and over trainings."""


class ContestSpec(TaskSpec):
    """Nothing is to be set."""

    labels_for: ClassVar[str | None] = "detection"


def chain(spec: ContestSpec, seed: int, images: Images, known: Facts) -> Chain:
    """Return a training and a test, of which nobody makes any."""
    training = stage_of(TRAIN, {"seed": seed}, images.stages, local_of(images.dataset))
    inputs = {"trained": training, **images.stages}
    return Chain((training, stage_of(TEST, {}, inputs, local_of(images.dataset))))


@dataclass(frozen=True, eq=False)
class Contested:
    """What each image scored."""

    values: Floats

    @property
    def names(self) -> tuple[str, ...]:
        """What the images are called."""
        return tuple(f"image {n}" for n in range(len(self.values)))


def read(folder: Path, spec: ContestSpec) -> Contested:
    """Read what a test left in its manifest."""
    metrics = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["metrics"]
    return Contested(np.array(metrics["values"]))


TASK = Task(
    name="contest",
    verb="let compete",
    command="compare",
    metric="points in percent",
    headline="points",
    section=ContestSpec,
    columns=lambda _: ("points",),
    compared=("points",),
    chain=chain,
    scores=lambda metrics, _: [metrics["points"]],
    logged=lambda metrics: {"points": metrics["points"]},
    read=read,
    resample=lambda kept, counts: (counts @ kept.values / counts.sum(axis=1))[:, None],
    histories={TRAIN.name: History("Contestants", "history.csv", lambda row: row["loss"])},
    order=50,
)


@contextmanager
def contests() -> Iterator[None]:
    """Let there be this task within the block."""
    register(TASK)
    try:
        yield
    finally:
        unregister(TASK.name)


def finish(cells: Iterable[Cell], store: Store, skills: Mapping[str, float]) -> None:
    """Finish the cells of contests by lots that depend on method and seed alone."""
    for cell in cells:
        for stage in cell.stages:
            if store.manifest(stage) is None:
                drawn = stage.kind is TEST
                commit(store, stage, metrics=result(cell, skills) if drawn else {})


def result(cell: Cell, skills: Mapping[str, float]) -> dict[str, Any]:
    """Return what a cell scores: shares."""
    rng = np.random.default_rng([cell.seed, *cell.method.row.encode()])
    difficulty = np.random.default_rng(0).normal(0, OF_IMAGES, IMAGES)
    luck = rng.normal(0, OF_SEEDS)
    values = skills[cell.method.row] + luck + difficulty + rng.normal(0, OF_IMAGES / 4, IMAGES)
    return {"points": float(values.mean()), "values": values.tolist()}
