"""Runs a small command on disks that are too small for it, makes room, and runs it again.

    python -m benchmarks.small_disks [--sizes KB ...] [--inodes N ...] [--limits KB ...]

Each store lies on a file system of its own in memory, of so many kilobytes or inodes; where nobody
may mount one, and for --limits, the command may write no file longer than that (ulimit -f). It is
the whole command, with workers, Prefect and MLflow, told to begin although there is no room, and
once as ever. Wanted: exit code 1 (or 0, where it fits), no traceback, and after room is made the
same tables.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import table
from benchmarks.injection.experiment import Product, Small, product_of, write_small
from benchmarks.injection.warm import REPOSITORY, Ended

SIZES, INODES, LIMITS = (100, 300, 1000, 2000, 4000), (10, 30, 60), (20, 500)
ROOM = "size=200m,nr_inodes=10000"


def run(words: Sequence[str], home: Path, limit: int | None = None, ignore: bool = True) -> Ended:
    """Run the command; with `limit`, no file may have more kilobytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * limit, resource.RLIM_INFINITY))

    environment = {**os.environ, "PREFECT_HOME": str(home / "prefect"), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | (
        {"FUSE_THEN_SPACE": "ignore"} if ignore else {}
    )
    command = [sys.executable, "-P", "-m", "pipelines.cli.app", *words]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, preexec_fn=limited
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def disk(place: Path, options: str) -> Iterator[bool]:
    """Mount a file system in memory while the block runs; yields whether that is allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def tried(
    how: str, small: Small, home: Path, whole: Product, first: Ended, store: Path
) -> dict[str, str]:
    """Run again, with room, and judge both runs."""
    again = run(small.words(store), home)
    same = product_of(again, store) == whole
    good = first.code in (0, 1) and not first.traceback and again.code == 0 and same
    said = [line for line in first.err.splitlines() if line.startswith(("fuse-then:", "  left"))]
    return {
        "disk": how,
        "first": f"{'TRACEBACK' if first.traceback else 'exit'} {first.code}",
        "said": said[0][:90] if said else "",
        "again": f"{again.code}, {'same' if same else 'OTHER'} tables",
        "good": "yes" if good else f"NO {again.err[-500:]} {first.err[-1500:]}",
    }


def on_disks(
    options: Sequence[tuple[str, bool]], small: Small, home: Path, whole: Product
) -> Iterator[dict[str, str]]:
    """Yield what came of each disk."""
    for number, (option, ignore) in enumerate(options):
        place = home / f"disk{number}"
        with disk(place, option) as mounted:
            if not mounted:
                print("No file system can be mounted here.", file=sys.stderr)
                return
            store = place / "store"
            first = run(small.words(store), home, ignore=ignore)
            subprocess.run(["mount", "-o", f"remount,{ROOM}", str(place)], check=True)
            how = option if ignore else f"{option}, as ever"
            yield tried(how, small, home, whole, first, store)
            print(f"{how}: done", file=sys.stderr, flush=True)


def command(arguments: Sequence[str] | None = None) -> int:
    """Try all disks and print; returns 1 when anything ended badly."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_disks")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="KB")
    parser.add_argument("--inodes", type=int, nargs="*", default=INODES, metavar="N")
    parser.add_argument("--limits", type=int, nargs="*", default=LIMITS, metavar="KB")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        home = Path(folder)
        small = write_small(home / "small", tracked=False)
        run(small.words(home / "first"), home)  # makes Prefect's database
        whole = product_of(run(small.words(home / "whole"), home), home / "whole")
        options = [(f"size={size}k", ignore) for size in asked.sizes for ignore in (True, False)]
        options += [(f"nr_inodes={number}", True) for number in asked.inodes]
        rows = list(on_disks(options, small, home, whole))
        for limit in asked.limits:
            store = home / f"limit{limit}"
            first = run(small.words(store), home, limit)
            rows.append(tried(f"ulimit -f {limit} kB", small, home, whole, first, store))
    table("small disks", rows)
    return int(any(row["good"] != "yes" for row in rows))


if __name__ == "__main__":
    sys.exit(command())
