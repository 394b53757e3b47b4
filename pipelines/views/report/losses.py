"""Training curves as the stages leave them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipelines.planning.plan import Plan
from pipelines.results.values import Line
from pipelines.store.stage import Stage
from pipelines.store.store import Store

Row = Mapping[str, float]
DETECTOR = ("box_loss", "cls_loss", "dfl_loss")


def _detector(row: Row, side: str) -> float:
    return sum(row.get(f"{side}/{part}", math.nan) for part in DETECTOR)


KINDS: dict[str, tuple[str, str, Callable[[Row], float]]] = {
    "train_detector": (
        "Detector: sum of the box, class and distribution losses on the training images",
        "run/results.csv",
        lambda row: _detector(row, "train"),
    ),
    "train_segmenter": (
        "Segmenter: cross-entropy on the training images",
        "history.csv",
        lambda row: row["loss"],
    ),
    "train_fusion": (
        "Fusion network: total loss on the training pairs",
        "history.csv",
        lambda row: row["total"],
    ),
}
"""By kind of stage: what its curve is, the file that holds it, and how to read a line of it."""


def training_curves(plan: Plan, store: Store) -> dict[str, tuple[Line, ...]]:
    """Return by what was trained one curve for each finished training, in the plan's order."""
    found: dict[str, list[Line]] = {}
    for method, stage in _trainings(plan, store):
        title, file, loss = KINDS[stage.kind.name]
        rows = _rows(store.directory(stage) / file)
        if rows:
            epochs = tuple(row["epoch"] for row in rows)
            lines = found.setdefault(title, [])
            lines.append(Line(method, epochs, tuple(map(loss, rows))))
            lines += _validation(stage.kind.name, method, epochs, rows)
    return {title: tuple(lines) for title, lines in found.items()}


def _trainings(plan: Plan, store: Store) -> Iterator[tuple[str, Stage]]:
    """Yield every finished training once, with the method that it was for."""
    seen: set[str] = set()
    for kind in KINDS:
        for cell in plan.cells:
            for stage in cell.stages:
                if stage.kind.name == kind and stage.key not in seen and store.manifest(stage):
                    seen.add(stage.key)
                    yield cell.method.row, stage


def _validation(kind: str, method: str, epochs: tuple[float, ...], rows: list[Row]) -> list[Line]:
    """Return the detector's loss on validation images: 0 where there are none to validate on."""
    if kind != "train_detector":
        return []
    losses = tuple(_detector(row, "val") for row in rows)
    known = any(loss > 0 for loss in losses)
    return [Line(method, epochs, losses, "val")] if known else []


def _rows(path: Path) -> list[Row]:
    """Return the numbers of a history; none where the file has been removed.

    Without validation images ultralytics' last line ends before the columns of the losses on them.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            {key.strip(): float(text) for key, text in row.items() if text}
            for row in csv.DictReader(stream)
        ]
