"""Many first runs at once, on one fresh store and one fresh home.

    python -m benchmarks.concurrent_runs [--runs 10]

All must end with exit code 0 and the same tables, and every stage must have been made once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.small_run import Site

WITNESS = """
import os, sys
from pipelines.execution.worker import Worker

run, made_here = Worker.run, sys.argv[1]

def told(self, job, out, report):
    with open(made_here, "a") as made:
        made.write(out.name + "\\n")
    return run(self, job, out, report)

Worker.run = told
from pipelines.cli.app import main
sys.argv[1:] = sys.argv[2:]
sys.exit(main())
"""
"""The command, which writes down each stage that it gives to a worker."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them and print what is not as it should be; returns 1 when anything is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.concurrent_runs")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="concurrent-") as folder:
        return _report(Site(Path(folder) / "site"), options.runs)


def _report(site: Site, runs: int) -> int:
    begun, made = time.monotonic(), site.root / "made"
    program = ["-P", "-c", WITNESS, str(made), *site.words()]
    started = {f"run{number}": site.start(program, f"run{number}") for number in range(runs)}
    codes = {name: process.wait() for name, process in started.items()}
    wrong = [
        f"{name} ended with code {code}: {_last(site.root / f'{name}.err')}"
        for name, code in codes.items()
        if code != 0
    ]
    tables = Counter(site.tables(name) for name in started)
    if len(tables) > 1:
        wrong.append(f"{len(tables)} different tables")
    counts = Counter(_said(made).split())
    wrong += [f"{stage} was made {count} times" for stage, count in counts.items() if count > 1]
    wrong += [f"still there: {line}" for line in (*site.outlived(), *site.left())]
    print(f"{runs} runs at once: {time.monotonic() - begun:.0f} s, {len(counts)} stages made.")
    said = "\n".join(_said(site.root / f"{name}.err") for name in started)
    lines = Counter(line for line in said.splitlines() if line.startswith("  missing"))
    print("\n".join(f"{count} runs said:{line}" for line, count in lines.items()))
    print("\n".join(wrong) or "All ended well with equal tables, every stage made once.")
    return 1 if wrong else 0


def _said(path: Path) -> str:
    if not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _last(path: Path) -> str:
    return (_said(path).strip().splitlines() or ["it said nothing"])[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
