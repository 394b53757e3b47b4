"""Presence: are the objects of a class seen? They are where something in their box is bright.

A whole task in one file, as a file of `pipelines/tasks` is one; nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.execution.job import Job
from pipelines.specs.tasks import TaskSpec
from pipelines.store.stage import Kind, Metrics, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of
from pipelines.tasks.task import Chain, Floats, Images, Score, Task

SEEN = "seen.npz"
TEST = Kind("find_presence", 1, f"{__name__}:find_presence", (SEEN,))
MEAN = "mean presence"


class PresenceSpec(TaskSpec):
    """How bright is seen, of 0 to 255."""

    labels_for: ClassVar[str | None] = "detection"
    threshold: int = Field(default=128, ge=0, le=255)


def chain(spec: PresenceSpec, seed: int, images: Images, known: Facts) -> Chain:
    """Return the one stage from fused images to shares."""
    return Chain((stage_of(TEST, hashed(spec), images.stages, local_of(images.dataset)),))


def find_presence(job: Job) -> Metrics:
    """Count in each test image the objects of each class, and those that are seen."""
    from fusion.pairs import read_rgb

    dataset, index = job.dataset(), job.index()
    names = dataset.splits["test"]
    counts = np.zeros((2, len(names), len(dataset.spec.classes)), dtype=np.int64)
    for place, (name, path) in enumerate(job.images(names).items()):
        image = read_rgb(path).mean(axis=2)
        for label, left, top, right, bottom in index[name]["boxes"]:
            box = image[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            counts[:, place, label] += box.max() >= job.spec["threshold"], 1
        job.report(place + 1, len(names), "looking")
    seen, total = counts
    np.savez(job.out / SEEN, seen=seen, total=total, names=np.array(names))
    found = shares(seen.sum(axis=0), total.sum(axis=0))
    known = [None if np.isnan(share) else float(share) for share in found]
    return {"presence": dict(zip([*dataset.spec.classes, MEAN], known, strict=True))}


def shares(seen: NDArray[Any], total: NDArray[Any]) -> Floats:
    """Return the shares of ``... x classes`` objects that are seen, and behind them their mean."""
    share = np.divide(seen, total, out=np.full(seen.shape, np.nan), where=total > 0)
    known = np.isfinite(share)
    mean = np.where(known, share, 0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return np.concatenate([share, mean[..., None]], axis=-1)


def columns(spec: PresenceSpec) -> tuple[str, ...]:
    """Return the classes, and their mean."""
    return (*spec.dataset.classes, MEAN)


def scores(metrics: Mapping[str, Any], spec: PresenceSpec) -> list[Score]:
    """Return a test's shares, one a column; a manifest keeps no order."""
    return [metrics["presence"][name] for name in columns(spec)]


def logged(metrics: Mapping[str, Any]) -> dict[str, Score]:
    """Return all shares by name."""
    return dict(metrics["presence"])


@dataclass(frozen=True, eq=False)
class Present:
    """What a test kept: objects seen, and all of them, ``images x classes``."""

    seen: NDArray[np.int64]
    total: NDArray[np.int64]
    names: tuple[str, ...]


def read(folder: Path, spec: PresenceSpec) -> Present:
    """Read what a finished test left in `folder`."""
    with (folder / SEEN).open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
        return Present(kept["seen"], kept["total"], tuple(map(str, kept["names"])))


def resample(kept: Present, counts: NDArray[np.int32]) -> Floats:
    """Return the columns' shares of every resample of the images."""
    return shares(counts @ kept.seen, counts @ kept.total)


TASK = Task(
    name="presence",
    verb="look for presence on",
    command="compare",
    metric="objects seen in percent",
    headline=MEAN,
    section=PresenceSpec,
    columns=columns,
    compared=(MEAN,),
    chain=chain,
    scores=scores,
    logged=logged,
    read=read,
    resample=resample,
    seeded=False,
    order=40,
)
