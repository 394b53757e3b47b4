"""Run every benchmark, each in a process of its own, and print one table.

    python -m benchmarks [--only NAME ...] [--save]

A benchmark is a module of this package with a function ``run() -> list[Row]``; its docstring says
what it measures and how. One that has only ``main()`` prints its own table. ``--save`` also writes
benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from benchmarks.common import Row, machine, table

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns 1 when something is not as wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names(), metavar="NAME", default=names())
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/NAME.json")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)  # in one benchmark's process
    options = parser.parse_args(arguments)
    if options.rows is not None:
        found = import_module(f"benchmarks.{options.only[0]}").run()
        options.rows.write_text(json.dumps([asdict(row) for row in found]), encoding="utf-8")
        return 0
    rows = [row for name in options.only for row in measured(name, options.save)]
    if rows:
        table("measured", [{**asdict(row), "met": "yes" if row.met else "NO"} for row in rows])
    return 0 if all(row.met for row in rows) else 1


def measured(name: str, save: bool) -> list[Row]:
    """Run one benchmark in its own process: threads and caches set there stay there."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        if "run" in functions(HERE / f"{name}.py"):
            command = [sys.executable, "-m", "benchmarks", "--only", name, "--rows", str(path)]
            subprocess.run(command, check=True)
            rows = [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        else:
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
            rows = []
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    if save and rows:
        write(name, rows)
    return rows


def names() -> list[str]:
    """Return the modules here that are benchmarks, without importing them."""
    found = sorted(HERE.glob("[!_]*.py"))
    return [path.stem for path in found if functions(path) & {"run", "main"}]


def functions(path: Path) -> set[str]:
    """Return the names of a module's own functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def write(name: str, rows: Sequence[Row]) -> None:
    """Write a benchmark's rows with the machine and the day."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    facts = {"machine": machine(), "day": time.strftime("%Y-%m-%d")}
    data = {**facts, "rows": [asdict(row) for row in rows]}
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
