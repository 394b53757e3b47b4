"""What networks cost: operations counted and speeds measured, each once, and kept in the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from pipelines.execution.devices import Slot, lease
from pipelines.execution.job import Progress
from pipelines.execution.runner import Start, job_of, make_stage
from pipelines.execution.worker import StageFailed, Worker
from pipelines.store.provenance import provenance
from pipelines.store.stage import Kind, Machine, Metrics, Stage, processor, stage_of
from pipelines.store.store import Store
from pipelines.tasks.probes import CALIBRATION, COUNT, FILES
from pipelines.tasks.work import BACKWARD, Work

SECONDS = 600.0
ALL_SECONDS = 16.0
"""How long all measurements may take together, beside the start of their process."""
LONGEST, FILES_SECONDS = 3.0, 0.5
LIGHT = 2000.0
"""Operations of a pixel that take less time than reading and writing it."""


@dataclass(frozen=True)
class Count:
    """Operations of one pixel's share of the work, trained or not, and the parameters."""

    operations_per_pixel: float
    parameters: int

    @property
    def light(self) -> bool:
        """Whether reading and writing the images takes longer."""
        return self.operations_per_pixel < LIGHT


@dataclass(frozen=True)
class Speed:
    """The pixels a second that a network sees, and the seconds until it begins."""

    pixels_per_second: float
    start_seconds: float


def processor_of(slot: Slot) -> str:
    """Return what manifests of stages made on `slot` will name as their processor."""
    return processor(slot.device, slot.threads, Machine(**provenance()["machine"]))


class Networks:
    """Counts the operations of networks and measures their speed, in a process that all share.

    A measurement is made on one of `slots`, and only with `calibrate`; what is kept serves
    without. `report` makes a report of progress from a title; `start` starts the process, and
    without it only what was counted before is known.
    """

    def __init__(
        self,
        store: Store,
        slots: Sequence[Slot],
        report: Callable[[str], Progress],
        start: Start | None = Worker,
    ) -> None:
        self._store, self._slots, self._report, self._start = store, slots, report, start
        self._failed: set[str] = set()
        self._processes = ExitStack()
        self._worker: Worker | None = None

    def __enter__(self) -> Networks:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    def count(self, work: Work) -> Count | None:
        """Return what a network does for a pixel; None where that cannot be counted.

        Where the size of the images is not known, they are taken to be of 640 x 480.
        """
        if not work.network:
            return Count(0.0, 0)
        height, width = _size_of(work)
        step = work.training and work.partly
        spec = {"network": work.network, "given": work.given, "training": step, "code": work.code}
        stage = stage_of(COUNT, {**spec, "height": height, "width": width})
        found = self._made(stage, "counting operations")
        if found is None:
            return None
        operations = found["operations"] * (BACKWARD if work.training and not step else 1)
        return Count(operations / (height * width), found["parameters"])

    def speed(self, work: Work) -> Speed | None:
        """Return how fast a network was measured to be here, None if never."""
        if not work.network:
            return Speed(math.inf, 0.0)
        found = self._kept(self._calibration(work))
        return None if found is None else Speed(found["pixels_per_second"], found["start_seconds"])

    def file_speed(self) -> float | None:
        """Return the pixels a second that are read or written as PNG here, None if unmeasured."""
        found = self._kept(self._here(FILES, {}))
        return None if found is None else float(found["pixels_per_second"])

    def calibrate(self, works: Sequence[Work]) -> None:
        """Measure the networks of `works`, each once, in `ALL_SECONDS` at most."""
        found = {s.key: s for work in works if work.network and (s := self._calibration(work))}
        missing = [stage for stage in found.values() if not self._store.is_finished(stage)]
        each = min(LONGEST, ALL_SECONDS / max(1, len(missing)))
        self._made(self._here(FILES, {}, FILES_SECONDS), "calibrating")
        for stage in missing:
            self._made(self._here(stage.kind, stage.spec, each), "calibrating")

    def _calibration(self, work: Work) -> Stage:
        height, width = _size_of(work)
        spec = {"network": work.network, "given": work.given, "training": work.training}
        how = {"batch": work.batch, "precision": work.precision, "code": work.code}
        return self._here(CALIBRATION, {**spec, **how, "height": height, "width": width})

    def _here(self, kind: Kind, spec: Any, seconds: float = LONGEST) -> Stage:
        where = {"device": self._slot.device.partition(":")[0], "on": processor_of(self._slot)}
        return stage_of(kind, {**spec, **where}, local={"seconds": seconds})

    def _kept(self, stage: Stage) -> Metrics | None:
        manifest = self._store.manifest(stage)
        return dict(manifest.metrics) if manifest else None

    def _made(self, stage: Stage, title: str) -> Metrics | None:
        """Return what a stage found, made now if need be; None where it fails."""
        if stage.title in self._failed:
            return None
        start = self._start
        if start is not None and not self._store.is_finished(stage):
            try:
                execute = partial(self._run, start, title=title)
                make_stage(stage, self._store, execute, self._slot)
            except (InputError, StageFailed):
                self._failed.add(stage.title)
        return self._kept(stage)

    @property
    def _slot(self) -> Slot:
        return self._slots[0]

    def _run(self, start: Start, stage: Stage, out: Path, title: str) -> Metrics:
        if self._worker is None:
            slot = self._slot
            if stage.kind.name != COUNT.name:
                slot = self._processes.enter_context(lease([slot]))
            started = start(slot.device, slot.threads, SECONDS)
            self._worker = self._processes.enter_context(started)
        return self._worker.run(job_of(stage, self._store), out, self._report(title))


def _size_of(work: Work) -> tuple[int, int]:
    """Return the height and width of images, or usual ones where they are not known."""
    known = math.isfinite(work.height * work.width)
    return (int(work.height), int(work.width)) if known else (480, 640)
