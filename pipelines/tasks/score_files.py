"""The scores of every image as a CSV file: one line an image, one column a metric."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.results.statistics.bootstrap import Values

SCORES = "scores.csv"


def write_scores(path: Path, names: Sequence[str], metrics: Sequence[str], values: Values) -> None:
    """Write ``images x metrics`` values, unrounded; an undefined one is an empty field."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", *metrics])
        for name, row in zip(names, values.tolist(), strict=True):
            writer.writerow([name, *("" if math.isnan(value) else repr(value) for value in row)])


def read_scores(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...], Values]:
    """Return names, metrics and values of the file `SCORES` in a folder."""
    with (folder / SCORES).open(encoding="utf-8", newline="") as stream:
        head, *lines = csv.reader(stream)
    values = [[float(text) if text else math.nan for text in line[1:]] for line in lines]
    return tuple(line[0] for line in lines), tuple(head[1:]), np.array(values, dtype=np.float64)
