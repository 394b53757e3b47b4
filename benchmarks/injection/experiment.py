"""The small run that is disturbed: scores of three tiny pairs fused by two methods."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from benchmarks.injection.warm import Ended
from fusion.pairs import write_png

NAMES = "abc"
CONNECT = (
    "import sys; from pipelines.views.tracking.tracker import connect; "
    "connect(f'sqlite:///{sys.argv[1]}').search_experiments()"
)


@dataclass(frozen=True)
class Small:
    """Where the experiment's YAML and its data lie, and the store that each run begins with."""

    path: Path
    begun: Path

    def words(self, store: Path) -> list[str]:
        """Return the words of the command that runs it."""
        return ["score", str(self.path), "--store", str(store), "--devices", "cpu", "--jobs", "1"]

    def fresh(self, store: Path) -> Path:
        """Return a store in which nothing is made yet, in place of what was there."""
        shutil.rmtree(store, ignore_errors=True)
        return Path(shutil.copytree(self.begun, store))


def write_small(root: Path, tracked: bool) -> Small:
    """Write the experiment, its images, and a store that is empty but for MLflow's tables.

    They are there if `tracked`: to make them takes MLflow ten seconds.
    """
    lots = np.random.default_rng(0)
    for folder in ("Ir", "Vis"):
        (root / "data" / folder).mkdir(parents=True)
        for name in NAMES:
            coarse = lots.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            write_png(root / "data" / folder / f"{name}.png", coarse.repeat(8, 0).repeat(8, 1))
    data = {"name": "pairs", "layout": "pairs", "root": str(root / "data")}
    data |= {"infrared": "Ir", "visible": "Vis", "near_duplicates": "none"}
    scoring = {"dataset": data, "metrics": ["SD", "AG"]}
    experiment = {"name": "small", "methods": ["average", "visible"], "scoring": scoring}
    path = root / "small.yaml"
    path.write_text(yaml.safe_dump(experiment), encoding="utf-8")
    begun = root / "begun"
    begun.mkdir()
    if tracked:
        subprocess.run([sys.executable, "-c", CONNECT, str(begun / "mlflow.db")], check=True)
    return Small(path, begun)


@dataclass(frozen=True)
class Product:
    """What a run leaves that must not depend on what went wrong before: tables and digests."""

    tables: str
    digests: dict[str, str]
    unfinished: tuple[str, ...]


def product_of(ended: Ended, store: Path) -> Product:
    """Return what a run has printed and left."""
    manifests = sorted((store / "stages").glob("*/*/manifest.json"))
    digests = {
        "/".join(path.parts[-3:-1]): str(json.loads(path.read_text("utf-8"))["digest"])
        for path in manifests
    }
    partial = store / "partial"
    left = sorted(path.name for path in partial.iterdir()) if partial.is_dir() else []
    return Product(ended.tables, digests, tuple(left))
