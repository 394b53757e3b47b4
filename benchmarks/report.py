"""`fuse-then report` of 10 methods x 2 tasks x 3 seeds, as the shell runs it: seconds and memory.

    python -m benchmarks.report [STORE]

The results are made up (synthetic_store.py), their number and size are not: 420 test images
with about 27,000 detections a cell, and 361 masks. The first run resamples every cell, the second
finds that in the store, so that what it takes is the report's own. STORE keeps the made-up store
for another time; to make it takes some minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.cached_compare import EXPERIMENT
from benchmarks.common import Row, table
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_dataset, load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import tasks
from tests.support.synthetic_store import finish

IMAGES = {"detection": 420, "segmentation": 361}
NOISE = 55
"""False boxes an image, which bring a cell to about 27,000 detections."""
WANTED_SECONDS, WANTED_OWN, WANTED_MB, WANTED_PAGE_MB = 60.0, 25.0, 2000.0, 15.0


@dataclass(frozen=True)
class Took:
    """One run of the command."""

    seconds: float
    megabytes: float
    page_megabytes: float


def run(folder: str | None = None) -> list[Row]:
    """Make the store, unless it is there, and measure the command twice."""
    with tempfile.TemporaryDirectory(prefix="report-") as temporary:
        home = Path(folder or temporary)
        home.mkdir(parents=True, exist_ok=True)
        experiment, store = home / "report.yaml", Store(home / "store")
        experiment.write_text(yaml.safe_dump(_experiment()), encoding="utf-8")
        spec = load_experiment(str(experiment))
        plan = make_plan(spec, store, tasks(), lambda _title: lambda *_: None)
        finish(plan.cells, store, NOISE)
        first, second = (_measured(experiment, store) for _ in range(2))
    what = f"report: 10 methods x 2 tasks x 3 seeds, {second.page_megabytes:.1f} MB of HTML"
    limits = (
        (first, WANTED_SECONDS, "with resampling"),
        (second, WANTED_OWN, "resamples in the store"),
    )
    return [_row(f"{what}, {how}", took, wanted) for took, wanted, how in limits]


def _row(what: str, took: Took, seconds: float) -> Row:
    shown = f"{took.seconds:.1f} s, {took.megabytes:.0f} MB"
    wanted = f"under {seconds:.0f} s, {WANTED_MB:.0f} MB; page under {WANTED_PAGE_MB:.0f} MB"
    met = took.seconds < seconds and took.megabytes < WANTED_MB
    return Row(what, "the clock", shown, wanted, met and took.page_megabytes < WANTED_PAGE_MB)


def _experiment() -> dict[str, Any]:
    """Return the experiment of the cached comparison on as many test images as M3FD and MSRS."""
    made = {**EXPERIMENT, "name": "report"}
    for task, images in IMAGES.items():
        dataset = load_dataset(f"scenes-{task}").model_dump(mode="json", exclude_defaults=True)
        scenes = {"train": 2, "val": 0, "test": images, "height": 240, "width": 320}
        made[task] = {**EXPERIMENT[task], "dataset": {**dataset, "scenes": scenes}}
    return made


def _measured(experiment: Path, store: Store) -> Took:
    command = [sys.executable, "-m", "pipelines.cli.app", "report", str(experiment)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--store", str(store.root)], stdout=subprocess.DEVNULL, env={**os.environ}
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"report ended with {status}")
    size = (store.root / "reports" / "report.html").stat().st_size
    return Took(seconds, used.ru_maxrss / 1024, size / 1e6)


if __name__ == "__main__":
    table("report", [vars(row) for row in run(sys.argv[1] if sys.argv[1:] else None)])
