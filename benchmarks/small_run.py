"""A small run with all tasks, as a command of its own: what is killed and multiplied elsewhere.

Everything that it starts carries a mark in its environment, by which it is found again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

EXPERIMENT = """
name: small
methods:
  - visible
  - use: lkc_funet-tiny
    train: {dataset: smoke-segmentation, epochs: 2, batch_size: 4, crop: 32, learning_rate: 1.0e-3,
            checkpoint_minutes: 0}
detection: {dataset: smoke-detection, model: yolov5n, image_size: 64, epochs: 4, batch: 4,
            loader_processes: 2, checkpoint_minutes: 0}
segmentation: {dataset: smoke-segmentation, architecture: DeepLabV3Plus, encoder: mobilenet_v2,
               height: 64, width: 64, epochs: 2, batch: 4, learning_rate: 0.01,
               checkpoint_minutes: 0}
scoring: {dataset: smoke-segmentation, metrics: [SD, AG]}
"""
COMMAND = ("-P", "-m", "pipelines.cli.app")
MARK = "FUSE_THEN_MARK"
END_SECONDS = 20.0
"""How long what a run has started may live on after it."""


@dataclass
class Site:
    """A folder with a store, a home for Prefect and a place for temporary files of its own."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.store, self.home, self.temporary = (
            self.root / name for name in ("store", "home", "tmp")
        )
        self.temporary.mkdir(parents=True)
        self.experiment = self.root / "small.yaml"
        self.experiment.write_text(EXPERIMENT, encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a run of this site is told."""
        own = {"PREFECT_HOME": str(self.home), "TMPDIR": str(self.temporary), MARK: self.mark}
        return {**os.environ, **own, "OMP_NUM_THREADS": "1", **more}

    def words(self, *more: str) -> list[str]:
        """Return the words of the command."""
        return ["compare", str(self.experiment), "--store", str(self.store), *more]

    def start(self, program: list[str], name: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a Python program; what it prints goes to NAME.out and NAME.err."""
        out, err = (self.root / f"{name}.{end}" for end in ("out", "err"))
        with out.open("wb") as printed, err.open("wb") as said:
            return subprocess.Popen(
                [sys.executable, *program],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                env=self.environment(**more),
                start_new_session=True,
            )

    def tables(self, name: str) -> str:
        """Return the tables that a run has printed."""
        return (self.root / f"{name}.out").read_text(encoding="utf-8").split("\nPictures ")[0]

    def digests(self) -> dict[str, str]:
        """Return the digest of each finished stage."""
        return {
            f"{path.parts[-3]}/{path.parts[-2]}": json.loads(path.read_bytes())["digest"]
            for path in sorted(self.store.glob("stages/*/*/manifest.json"))
        }

    def running(self) -> list[int]:
        """Return the processes that carry this site's mark; a zombie has none."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
            except OSError:  # gone meanwhile, or somebody else's
                continue
        return found

    def outlived(self, known: frozenset[int] = frozenset()) -> list[str]:
        """Return the command lines of what does not end in time."""
        deadline = time.monotonic() + END_SECONDS
        while (left := set(self.running()) - known) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [_words(number) for number in left]

    def left(self) -> list[str]:
        """Return what lies about: unfinished stages, temporary files, halves of databases."""
        unfinished = [*self.store.glob("partial/*"), *self.root.rglob("*.part")]
        known = (f"fuse-then-devices-{os.getuid()}", "torchinductor_")  # one of each, for ever
        strays = [one for one in self.temporary.iterdir() if not one.name.startswith(known)]
        return [str(path.relative_to(self.root)) for path in (*unfinished, *strays)]


def _words(number: int) -> str:
    try:
        text = (Path("/proc") / str(number) / "cmdline").read_bytes()
    except OSError:
        return str(number)
    return f"{number} {text.replace(bytes(1), b' ').decode(errors='replace').strip()}"
