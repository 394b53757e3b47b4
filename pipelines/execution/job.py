"""A job: what a stage's body is given, and the few things that all bodies do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.specs.dataset import DatasetSpec

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a short remark."""

PICTURED = 6
"""How many images the sample pictures show."""


@dataclass(frozen=True)
class Job:
    """One stage to make: its hashed spec, its inputs' directories, and where to write."""

    kind: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, Path]
    local: Mapping[str, Any]
    out: Path
    device: str
    threads: int
    report: Progress

    def progress(self, remark: str = "") -> Callable[[int, int], None]:
        """Return a callback of (done, total) that carries `remark`."""
        return lambda done, total: self.report(done, total, remark)

    def dataset(self) -> Dataset:
        """Open the dataset where it lies on this machine."""
        return open_dataset(DatasetSpec(**self.local["dataset"]))

    def path(self, key: str) -> Path | None:
        """Return a file that the spec names, None when it names none."""
        return Path(self.local[key]) if key in self.local else None

    def images(self, names: Iterable[str], role: str = "fused") -> dict[str, Path]:
        """Return the fused images of `names`, which the input of a role made."""
        return {name: self.inputs[role] / "images" / f"{name}.png" for name in names}

    def index(self) -> dict[str, Any]:
        """Return sizes and boxes by name, as they were checked."""
        data: dict[str, Any] = json.loads((self.inputs["index"] / "index.json").read_text("utf-8"))
        return data


def pictured(names: Iterable[str]) -> list[str]:
    """Return up to `PICTURED` names, evenly spaced."""
    known = list(names)
    return known[:: max(1, len(known) // PICTURED)][:PICTURED]
