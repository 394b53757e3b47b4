"""What the matrices of kills and of concurrent runs look at: it must see what is left."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from benchmarks import small_run
from benchmarks.kill_matrix import _kill, _victims
from benchmarks.small_run import Site
from pipelines.specs.loading import load_experiment
from pipelines.tasks.task import tasks

pytestmark = pytest.mark.process

WAITS = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE).wait()
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_the_small_run_has_every_task(site: Site) -> None:
    spec = load_experiment(str(site.experiment))
    assert set(spec.task_keys) == {task.name for task in tasks()}
    assert spec.methods[1].train is not None


def test_what_outlives_a_run_is_seen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_run, "END_SECONDS", 0.2)
    run = site.start(["-c", WAITS], "run")
    deadline = time.monotonic() + 60
    while len(site.running()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert run.pid in site.running()
    assert _victims(run.pid, "command") == [run.pid]
    assert _victims(run.pid, "worker") == []
    assert _kill(run, "command", 0.0, random.Random(0))
    assert run.wait(60) == -signal.SIGKILL
    assert run.pid not in site.running()
    assert all("input()" in line for line in site.outlived())  # it ends with its stdin


def test_what_lies_about_is_seen(site: Site) -> None:
    assert site.left() == []
    (site.temporary / "fuse-then-devices-0").mkdir()
    (site.temporary / "stray").touch()
    (site.store / "partial" / "fuse-0123").mkdir(parents=True)
    (site.store / "mlflow.db.part").touch()
    wanted = {"tmp/stray", "store/partial/fuse-0123", "store/mlflow.db.part"}
    assert wanted <= set(site.left())
