"""Make what is missing: claim a stage, run its body, write the manifest, rename into place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.execution.devices import Slot, lease
from pipelines.execution.job import Job, Metrics, Report
from pipelines.execution.worker import StageFailed, Worker
from pipelines.store.digests import tree_digest
from pipelines.store.provenance import provenance
from pipelines.store.store import Busy, Stage, Store
from pipelines.tasks.kinds import KINDS

NO_SLOT = Slot("cpu", "none", 1)
"""For work so light that no device is leased."""

Execute = Callable[[Stage, Path], Metrics]
Start = Callable[[str, int, float], AbstractContextManager[Worker]]
"""Starts a subprocess, given its device, its threads and the seconds that a stage may take."""


@dataclass(frozen=True, eq=False)
class Step:
    """What one task of a flow makes: stages that follow one another in one subprocess."""

    title: str
    stages: tuple[Stage, ...]

    def cached(self, store: Store) -> bool:
        """Whether every stage is finished."""
        return all(store.manifest(stage) is not None for stage in self.stages)


def make_step(
    step: Step,
    store: Store,
    slots: Sequence[Slot],
    timeout_seconds: float,
    report: Report,
    start: Start = Worker,
) -> None:
    """Make the missing stages of `step` in one subprocess, on one leased device.

    Raises StageFailed or InputError; finished stages stay.
    """
    if step.cached(store):
        return
    report(0, 1, "waiting for a device")
    # The device comes first: whoever held a stage while waiting for a device could wait for one
    # that is held by somebody who waits for the stage.
    with lease(slots) as slot, start(slot.device, slot.threads, timeout_seconds) as worker:
        for stage in step.stages:
            make_stage(
                stage, store, lambda made, out: worker.run(job_of(made, store), out, report), slot
            )


def make_here(stage: Stage, store: Store, report: Report) -> Path:
    """Make a light stage in this process, unless it is finished; return its directory."""

    def execute(stage: Stage, out: Path) -> Metrics:
        job = job_of(stage, store)
        inputs = {role: Path(path) for role, path in job["inputs"].items()}
        kind, spec, local = job["kind"], job["spec"], job["local"]
        return KINDS[stage.kind].body(Job(kind, spec, inputs, local, out, "cpu", 1, report))

    make_stage(stage, store, execute, NO_SLOT)
    return store.directory(stage)


def make_stage(stage: Stage, store: Store, execute: Execute, slot: Slot) -> None:
    """Run `execute` for a stage that is not finished, and commit what it left.

    Waits while another process makes the same stage.
    """
    kind = KINDS[stage.kind]
    while store.manifest(stage) is None:
        try:
            with store.claim(stage, keep=kind.resumable) as partial:
                if store.manifest(stage) is not None:
                    return
                started, clock = datetime.now(UTC), time.monotonic()
                metrics = execute(stage, partial)
                store.commit(stage, _manifest(stage, store, metrics, started, clock, slot))
        except Busy:
            time.sleep(1.0)


def job_of(stage: Stage, store: Store) -> dict[str, Any]:
    """Return what a worker needs to make `stage`, but for the place to write to."""
    inputs = {role: str(store.directory(source)) for role, source in stage.inputs.items()}
    return {
        "kind": stage.kind,
        "spec": dict(stage.spec),
        "inputs": inputs,
        "local": dict(stage.local),
    }


def _manifest(
    stage: Stage, store: Store, metrics: Metrics, started: datetime, clock: float, slot: Slot
) -> dict[str, Any]:
    inputs = {}
    for role, source in stage.inputs.items():
        manifest = store.manifest(source)
        if manifest is None:
            raise StageFailed(f"{source.title}, an input of {stage.title}, vanished; run again.")
        inputs[role] = {"kind": source.kind, "key": source.key, "digest": manifest["digest"]}
    return {
        "kind": stage.kind,
        "key": stage.key,
        "version": stage.version,
        "spec": dict(stage.spec),
        "local": dict(stage.local),
        "inputs": inputs,
        "digest": tree_digest(store.partial(stage), KINDS[stage.kind].products),
        "metrics": metrics,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 3),
        "device": slot.device,
        "threads": slot.threads,
        **provenance(),
    }
