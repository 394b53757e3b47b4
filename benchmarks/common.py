"""What the benchmarks share: the machine in one line, interleaved timing, and a table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of a report: what was measured, against what, and whether it is good enough."""

    what: str
    against: str
    measured: str
    wanted: str
    met: bool


def machine() -> str:
    """Return one line of what decides the timings: CPU, cores, threads, torch, and the GPU."""
    parts = [
        _cpu_model(),
        f"{os.cpu_count()} cores",
        f"{torch.get_num_threads()} torch threads",
        f"torch {torch.__version__}",
    ]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def interleaved(
    candidates: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of `repeats` calls of each candidate, taken in turns.

    A disturbance of the machine then meets all candidates alike. The order is reversed in every
    second round, so that none always follows the same neighbour. Nothing is warmed up here.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(repeats):
        names = list(candidates)
        for name in names if round_number % 2 == 0 else reversed(names):
            start = time.perf_counter()
            candidates[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with equal keys as a table under `title`, the machine below it."""
    shown = Table(title=title, title_justify="left")
    for number, name in enumerate(rows[0]):
        shown.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row.values()))
    console = Console()
    console.print(shown)
    console.print(machine(), highlight=False)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    import platform

    return platform.processor() or platform.machine()
