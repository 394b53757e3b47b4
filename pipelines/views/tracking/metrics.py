"""The numbers of a cell under MLflow's names: scores, and the curves of trainings."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pipelines.planning.plan import Cell

HISTORIES = {"train_fusion": "history.csv", "train_segmenter": "history.csv"}
HISTORIES["train_detector"] = "run/results.csv"
"""Where a training leaves one line an epoch."""
T = TypeVar("T")
CLOCKS = ("epoch", "seconds", "time")
POINTS = 500
"""The most points of a curve; of longer ones every second, third, ... epoch is shown."""


def curve(folder: Path, kind: str) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Yield epoch, share of the epochs so far, and the finite values of a training's history."""
    path = folder / HISTORIES[kind] if kind in HISTORIES else None
    if path is None or not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, skipinitialspace=True))
    for number, row in thinned(list(enumerate(rows, 1))):
        yield number, number / len(rows), _values(row)


def thinned(rows: Sequence[T]) -> Sequence[T]:
    """Return every second, third, ... of more than `POINTS` rows, the last one always."""
    step = max(1, math.ceil(len(rows) / POINTS))
    return rows[(len(rows) - 1) % step :: step]


def _values(row: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers of an epoch; ultralytics' columns lose their first words."""
    names = {key: key.removeprefix("train/").replace("(B)", "") for key in row}
    found = {names[key]: float(text) for key, text in row.items() if key not in CLOCKS and text}
    return {key: value for key, value in found.items() if math.isfinite(value)}


def scores(cell: Cell, metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of a cell's scores; absent classes have none.

    AP and IoU are 0..1, quality metrics in their own units.
    """
    means: dict[str, float | None]
    groups: dict[str, dict[str, float | None]] = {}
    if cell.task == "scoring":
        means = {name: found["mean"] for name, found in metrics["metrics"].items()}
    elif cell.task == "detection":
        means = {"mAP50": metrics["mAP50"], "mAP50-95": metrics["mAP"]}
        groups = {"AP50": metrics["AP50"], "AP50-95": metrics["AP"]}
    else:
        means = {"mIoU": metrics["miou"], "mIoU_foreground": metrics["miou_foreground"]}
        groups = {"IoU": metrics["iou"]}
    per_class = {
        f"{group}/{name}": v for group, values in groups.items() for name, v in values.items()
    }
    yield from ((k, float(v)) for k, v in {**means, **per_class}.items() if v is not None)


def metric_name(name: str) -> str:
    """Return `name` with the characters that MLflow refuses replaced."""
    return "".join(c if c.isalnum() or c in "_-. /" else "-" for c in name)
