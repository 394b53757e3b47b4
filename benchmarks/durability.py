"""What it costs that nothing is lost: committing a fused set, and looking at it before it is used.

    python -m benchmarks.durability [--images 4200] [--kilobytes 600] [--folder DIR]

A stage of so many images of random bytes is finished with all syncing, and with none; in turns,
the files written anew each time. Then it is looked at as every run does: the first time in a
process, again, with every image read (--paranoid), and as `fuse-then store verify` reads it. The
files are in the memory of the machine, so that reading costs what digests cost. Give a folder on
the disk that is meant: a temporary folder may lie in memory, where syncing is free.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.common import Row, table
from pipelines.store.files import SETTLED_NS
from pipelines.store.provenance import provenance
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import Store
from pipelines.store.verification import look

IMAGES, KILOBYTES, REPEATS = 4200, 600, 3
FUSING_SECONDS = 0.1
"""Of an image, by the fastest methods on one core: what a commit is compared with."""
WANTED_SHARE, WANTED_LOOK = 0.10, 0.10
KIND = Kind("fuse", 3, "", ("images",))


def run(images: int = IMAGES, kilobytes: int = KILOBYTES, folder: Path | None = None) -> list[Row]:
    """Time commits with and without syncing, and looks at a finished stage."""
    with tempfile.TemporaryDirectory(prefix="durability-", dir=folder) as place:
        store = Store(Path(place))
        plain, synced = [], []
        for number in range(REPEATS):
            with _unsynced():
                plain.append(_commit(store, number, images, kilobytes))
            synced.append(_commit(store, number, images, kilobytes))
        looks = _looks(store, Stage(KIND, {"n": REPEATS - 1}))
    cost, whole = median(synced) - median(plain), images * FUSING_SECONDS
    first, again, every, verified = looks
    of = f"{images} images of {kilobytes} kB"
    return [
        Row(
            f"commit of {of}: {median(synced):.2f} s",
            f"the same without syncing: {median(plain):.2f} s",
            f"{cost:.2f} s, {100 * cost / whole:.1f} % of fusing them in {whole:.0f} s",
            f"under {100 * WANTED_SHARE:.0f} %",
            cost < WANTED_SHARE * whole,
        ),
        Row(
            f"look at use of {of}",
            f"--paranoid {every:.2f} s, store verify of {REPEATS} such {verified:.2f} s",
            f"{first:.3f} s, again in the same process {again:.3f} s",
            f"under {WANTED_LOOK:.2f} s",
            first < WANTED_LOOK,
        ),
    ]


def _commit(store: Store, number: int, images: int, kilobytes: int) -> float:
    """Write images, which is not counted, and return the seconds of the commit."""
    stage = Stage(KIND, {"n": number})
    shutil.rmtree(store.directory(stage), ignore_errors=True)
    facts = {"metrics": {}, "started": "", "seconds": 0.0, "device": "cpu", "threads": 1}
    with store.claim(stage, keep=False) as out:
        (out / "images").mkdir()
        for name in range(images):
            (out / "images" / f"{name:05}.png").write_bytes(os.urandom(1000 * kilobytes))
        start = time.perf_counter()
        store.commit(stage, {**facts, **provenance()})
        return time.perf_counter() - start


@contextmanager
def _unsynced() -> Iterator[None]:
    kept = os.fsync
    os.fsync = lambda _: None
    try:
        yield
    finally:
        os.fsync = kept


def _looks(store: Store, stage: Stage) -> list[float]:
    """Return the seconds of the first look, the second, one at all images, and of verifying."""
    time.sleep(2 * SETTLED_NS / 1e9)  # what was written just now is not remembered
    paranoid = Store(store.root, paranoid=True)
    looks: list[Callable[[], object]] = [
        *(lambda: store.is_finished(stage), lambda: store.is_finished(stage)),
        *(lambda: paranoid.is_finished(stage), lambda: look(store, {}, lambda *_: None)),
    ]
    return [_seconds(one) for one in looks]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> list[Row]:
    """Read the words of the command, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durability", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--kilobytes", type=int, default=KILOBYTES)
    parser.add_argument("--folder", type=Path)
    return run(**vars(parser.parse_args()))


if __name__ == "__main__":
    table("durability", [vars(row) for row in main()])
