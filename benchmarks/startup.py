"""How soon the command line answers, each time in a fresh process.

    python -m benchmarks.startup

The processor's seconds are counted, which a busy machine does not change; on an idle core they
are the wall time. Against them stands the cheapest thing that a careless import would cost:
``import torch``. To see who costs what: python -X importtime -m pipelines.cli.app methods.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.common import Row, table

REPEATS = 5
COMMANDS = {"methods": 0.3, "--help": 0.3, "plan smoke": 2.0, "table smoke": 2.0}
"""The processor seconds that each may take; plan and table with all checks done before."""


def run() -> list[Row]:
    """Time each command in turn with an import of torch."""
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        home = Path(folder)
        cli = [sys.executable, "-P", "-m", "pipelines.cli.app"]
        _seconds([*cli, "plan", "smoke"], home)  # draws the scenes and builds the networks once
        rounds: dict[str, list[float]] = {words: [] for words in ("torch", *COMMANDS)}
        for _ in range(REPEATS):
            rounds["torch"].append(_seconds([sys.executable, "-c", "import torch"], home))
            for words in COMMANDS:
                rounds[words].append(_seconds([*cli, *words.split()], home))
    torch = median(rounds["torch"])
    return [_row(words, median(rounds[words]), torch, most) for words, most in COMMANDS.items()]


def _row(words: str, seconds: float, torch: float, most: float) -> Row:
    shown = f"{seconds:.2f} s, {torch / seconds:.1f}x sooner"
    against = f"import torch: {torch:.2f} s"
    return Row(f"fuse-then {words}", against, shown, f"under {most:.1f} s", seconds < most)


def _seconds(command: list[str], home: Path) -> float:
    environment = {**os.environ, "FUSE_THEN_STORE": str(home), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    table("startup", [vars(row) for row in run()])
