"""Make what is missing: claim a stage, run its body, write the manifest, rename into place."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from fusion.whole import is_whole_archive
from pipelines.execution import stopping
from pipelines.execution.devices import Slot, lease
from pipelines.execution.faults import refusal
from pipelines.execution.job import Job, Progress
from pipelines.execution.usage import seconds_so_far
from pipelines.execution.worker import StageFailed, Worker
from pipelines.store.provenance import provenance
from pipelines.store.stage import Metrics, Stage, load_body
from pipelines.store.store import Busy, Store, Vanished

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
        return all(map(store.is_finished, self.stages))


def make_step(
    step: Step,
    store: Store,
    slots: Sequence[Slot],
    timeout_seconds: float,
    report: Progress,
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
    with (
        refusals_told(store.root),
        lease(slots) as slot,
        start(slot.device, slot.threads, timeout_seconds) as worker,
    ):
        for stage in step.stages:
            make_stage(
                stage, store, lambda made, out: worker.run(job_of(made, store), out, report), slot
            )


def make_here(stage: Stage, store: Store, report: Progress) -> Path:
    """Make a light stage in this process, unless it is finished; return its directory."""

    def execute(stage: Stage, out: Path) -> Metrics:
        job = job_of(stage, store)
        inputs = {role: Path(path) for role, path in job["inputs"].items()}
        body = load_body(job["body"])
        return body(Job(job["kind"], job["spec"], inputs, job["local"], out, "cpu", 1, report))

    make_stage(stage, store, execute, NO_SLOT)
    return store.directory(stage)


def make_stage(stage: Stage, store: Store, execute: Execute, slot: Slot) -> None:
    """Run `execute` for a stage that is not finished, and commit what it left.

    Waits while another process makes the same stage. Raises StageFailed when an input is removed
    meanwhile.
    """
    while not store.is_finished(stage):
        stopping.refuse()
        try:
            with (
                refusals_told(store.partial(stage)),
                store.claim(stage, keep=stage.kind.resumable) as partial,
            ):
                if store.is_finished(stage):
                    shutil.rmtree(partial, ignore_errors=True)
                    return
                make_way(stage, store)
                drop_torn(partial, store.say)
                started = datetime.now(UTC)
                clock = time.monotonic() - seconds_so_far(partial)
                metrics = execute(stage, partial)
                store.commit(stage, _facts(metrics, started, clock, slot))
        except Busy:
            stopping.wait(1.0)
        except Vanished as error:
            raise StageFailed(str(error)) from error


def make_way(stage: Stage, store: Store) -> None:
    """Set aside what is broken of a stage that is claimed; say so, and that of its inputs.

    Raises Vanished for an input that is broken: it is made again before this is.
    """
    for source in stage.inputs.values():
        if (why := store.broken(source)) is not None:
            raise Vanished(
                f"{source.title}, of which {stage.title} is made, is broken ({why}) and is not "
                f"made again by this run; see that its own sources are there, and run again."
            )
    if (why := store.broken(stage)) is not None:
        place = store.set_aside(stage, why)
        store.say(
            f"  broken  {stage.title}: {why}; it is made again, and what was made of it before "
            f"stays (set aside in {place})"
        )


@contextmanager
def refusals_told(place: Path) -> Iterator[None]:
    """Raise StageFailed, a sentence, for what the machine refuses while we work at a place."""
    try:
        yield
    except (StageFailed, InputError, Busy, Vanished):
        raise
    except Exception as error:
        if (why := refusal(error, place)) is None:
            raise
        raise StageFailed(f"{why}.") from error


def drop_torn(partial: Path, say: Callable[[str], None]) -> None:
    """Remove states of trainings that are not whole, and say so; the training then starts again.

    Images and masks of an interrupted run are decoded by whoever goes on with them.
    """
    for path in sorted(partial.rglob("*.pt")):
        if not is_whole_archive(path):
            path.unlink()
            say(f"  broken  {path} is cut or damaged; the stage starts again without it")


def job_of(stage: Stage, store: Store) -> dict[str, Any]:
    """Return what a worker needs to make `stage`, but for the place to write to."""
    inputs = {role: str(store.directory(source)) for role, source in stage.inputs.items()}
    return {
        "kind": stage.kind.name,
        "body": stage.kind.body,
        "spec": dict(stage.spec),
        "inputs": inputs,
        "local": dict(stage.local),
    }


def _facts(metrics: Metrics, started: datetime, clock: float, slot: Slot) -> dict[str, Any]:
    return {
        "metrics": metrics,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 3),
        "device": slot.device,
        "threads": slot.threads,
        **provenance(),
    }
