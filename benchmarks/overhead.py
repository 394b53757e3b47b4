"""What Prefect, MLflow, the store and the subprocesses cost `compare`, against the bodies alone.

    python -m benchmarks.overhead

The smoke experiment, on one core: as `fuse-then compare`, and as its stages' bodies in a plain
loop in one process. On one core every second of overhead is a second of wall time, and the
processor's seconds, which a busy machine does not change, are counted beside it. What is paid once
a command is seen by running `compare` again, with all cached; the rest is paid per step. The
demo's overhead is its number of steps at that price on its two slots, and what is paid once.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.common import Row, table
from pipelines.execution.job import Job
from pipelines.execution.runner import job_of
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import load_body
from pipelines.store.store import Store
from pipelines.tasks.task import tasks

WANTED_SHARE = 0.10
DEMO_SECONDS, DEMO_SLOTS = 420.0, 2
"""Wall time of `compare demo` on two cores, as measured for the README; not measured here."""
REPEATS = 1
START = (
    "from pipelines.cli.scheduling.server import prefect_server\nwith prefect_server(print): pass"
)
"""Makes Prefect's database, which a user's first run does once, in about five seconds."""

Cost = tuple[float, float]
"""Wall seconds and processor seconds of a command with all its children."""


def run() -> list[Row]:
    """Measure the overhead of the smoke experiment and scale it to the demo."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder, _one_core():
        home = Path(folder)
        steps, demo_steps = (_steps(_plan(name, home / name)) for name in ("smoke", "demo"))
        _cost([sys.executable, "-c", START], home)
        rounds = []
        for number in range(REPEATS):
            store = shutil.copytree(home / "smoke", home / f"store{number}")
            bodies = _cost([sys.executable, __file__, str(store)], home)
            rounds.append((bodies, compare(home, store), compare(home, store)))
    return [
        _row(name, [tuple(cost[kind] for cost in found) for found in rounds], steps, demo_steps)
        for kind, name in enumerate(("wall", "processor"))
    ]


def _row(name: str, rounds: list[tuple[float, ...]], steps: int, demo_steps: int) -> Row:
    bodies, whole, cached = (median(column) for column in zip(*rounds, strict=True))
    each = (whole - bodies - cached) / steps
    share = (cached + each * demo_steps / DEMO_SLOTS) / DEMO_SECONDS
    return Row(
        f"compare smoke, {steps} steps, {name} seconds on one core: {whole:.1f}; all cached "
        f"{cached:.1f}, so {each:.2f} a step",
        f"the bodies in a plain loop: {bodies:.1f} s",
        f"{100 * share:.1f} % of the demo's {DEMO_SECONDS:.0f} s ({demo_steps} steps, 2 slots)",
        f"under {100 * WANTED_SHARE:.0f} %",
        share < WANTED_SHARE,
    )


def compare(home: Path, store: Path) -> Cost:
    """Run the command on a store whose datasets and networks are checked already."""
    command = [sys.executable, "-P", "-m", "pipelines.cli.app", "compare", "smoke"]
    return _cost([*command, "--store", str(store)], home)


def loop(store: Store) -> None:
    """Run the bodies of the smoke experiment one after another, and nothing else."""
    import torch

    torch.set_num_threads(1)
    plan = _plan("smoke", store.root)
    with tempfile.TemporaryDirectory() as folder:
        for stage in {s.title: s for cell in plan.cells for s in cell.stages}.values():
            job = job_of(stage, store)
            mine = {role: Path(folder) / source.key for role, source in stage.inputs.items()}
            inputs = {
                role: place if place.exists() else Path(job["inputs"][role])
                for role, place in mine.items()
            }
            out = Path(folder) / stage.key
            out.mkdir()
            known = (stage.kind, stage.spec, inputs, stage.local, out, "cpu", 1)
            load_body(stage.kind.body)(Job(*known, lambda *_: None))


def _plan(name: str, root: Path) -> Plan:
    return make_plan(load_experiment(name), Store(root), tasks(), lambda _title: lambda *_: None)


def _steps(plan: Plan) -> int:
    return len({step.stages[-1].title for cell in plan.cells for step in cell.steps})


@contextmanager
def _one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _cost(command: list[str], home: Path) -> Cost:
    environment = {**os.environ, "PREFECT_HOME": str(home / "prefect"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    if sys.argv[1:]:
        from pipelines.execution.environment import quiet_environment

        quiet_environment()
        loop(Store(Path(sys.argv[1])))
    else:
        table("overhead", [vars(row) for row in run()])
