"""Runs a cached small command many times: do files, handles, threads or processes grow?

    python -m benchmarks.growth [--runs N] [--commands M]

First M times as `fuse-then score`, each with a Prefect server of its own; then N times in one
process, as whoever calls the flows would, with one server for all. What is there after a few runs
must be there after the last, and no more: files of the store, of Prefect's home and of the folder
for temporary files, open files, threads and processes. Memory is shown beside.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.common import table
from benchmarks.injection.experiment import Small, write_small
from benchmarks.injection.warm import REPOSITORY

SETTLED = 5
"""Runs after which everything is there that is made once."""
GROWING = ("memory (MB)", "Prefect's database (kB)", "store (kB)")
"""What is shown and may grow: Prefect remembers every run, and Python what it has imported."""


def seen(process: psutil.Process, home: Path) -> dict[str, float]:
    """Return what a process holds, and what lies in its folders."""
    with process.oneshot():
        known: dict[str, float] = {
            "open files": process.num_fds(),
            "threads": process.num_threads(),
            "processes": len(process.children(recursive=True)),
        }
    for name in ("store", "prefect", "tmp"):
        known[f"files in {name}"] = sum(path.is_file() for path in (home / name).rglob("*"))
    known["memory (MB)"] = round(process.memory_info().rss / 1e6)
    known["Prefect's database (kB)"] = _kilobytes((home / "prefect").rglob("*.db*"))
    known["store (kB)"] = _kilobytes((home / "store").rglob("*"))
    return known


def _kilobytes(paths: object) -> float:
    files = [path for path in paths if path.is_file()]  # type: ignore[attr-defined]
    return round(sum(path.stat().st_size for path in files) / 1e3)


def in_one_process(path: Path, home: Path, runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run the flow `runs` times in this process; return what is there early, and at the end."""
    from pipelines.cli.run import prefect_flows
    from pipelines.specs.loading import load_experiment

    spec, process, early = load_experiment(str(path)), psutil.Process(), dict[str, float]()
    with prefect_flows() as flows:
        for number in range(runs):
            flows.fuse_then_score(spec, None, str(home / "store"), "cpu", 1)
            if number + 1 == min(SETTLED, runs - 1):
                early = seen(process, home)
            _shown(number + 1, runs)
        return early, seen(process, home)


def as_commands(small: Small, home: Path, runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run the command `runs` times; return what this process has early, and at the end."""
    command, early = [sys.executable, "-P", "-m", "pipelines.cli.app"], dict[str, float]()
    for number in range(runs):
        words = small.words(home / "store")
        subprocess.run([*command, *words], check=True, capture_output=True)
        if number == 0:
            early = seen(psutil.Process(), home)
        _shown(number + 1, runs)
    return early, seen(psutil.Process(), home)


def _shown(number: int, runs: int) -> None:
    if number % 10 == 0 or number == runs:
        print(f"{number} of {runs} runs", file=sys.stderr, flush=True)


def grown(early: dict[str, float], late: dict[str, float]) -> list[str]:
    """Return what there is more of than there was."""
    return [name for name in early if name not in GROWING and late[name] > early[name]]


def command(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when anything has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="in one process")
    parser.add_argument("--commands", type=int, default=5, metavar="M", help="as commands")
    options = parser.parse_args(arguments)
    bad = []
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        home = Path(folder)
        (home / "tmp").mkdir()
        os.environ |= {"PREFECT_HOME": str(home / "prefect"), "PYTHONPATH": str(REPOSITORY)}
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
        small = write_small(home / "small", tracked=False)
        begun, found = time.perf_counter(), {}
        # First, for they make Prefect's database, which takes longer than anybody waits.
        found["as commands"] = as_commands(small, home, options.commands)
        found["in one process"] = in_one_process(small.path, home, options.runs)
        for how, (early, late) in found.items():
            rows = [{"what": name, "early": early[name], "at the end": late[name]} for name in late]
            table(f"{how}", rows)
            bad += [f"{how}: {name}" for name in grown(early, late)]
    print(f"{time.perf_counter() - begun:.0f} s; grown: {', '.join(bad) or 'nothing'}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(command())
