"""The numbers of a cell under MLflow's names: scores, and the curves of trainings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
CLOCKS = ("epoch", "seconds", "time")
NAME_LENGTH = 250
VALUE_LENGTH = 500
"""The most characters of a parameter that MLflow takes."""
POINTS = 500
"""The most points of a curve; of longer ones every second, third, ... epoch is shown."""


def curve(epochs: Sequence[Mapping[str, float]]) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Yield epoch, share of the epochs so far, and the finite values of a training's history."""
    for number, row in thinned(list(enumerate(epochs, 1))):
        yield number, number / len(epochs), _values(row)


def thinned(rows: Sequence[T]) -> Sequence[T]:
    """Return every second, third, ... of more than `POINTS` rows, the last one always."""
    step = max(1, math.ceil(len(rows) / POINTS))
    return rows[(len(rows) - 1) % step :: step]


def _values(row: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of an epoch; ultralytics' columns lose their first words."""
    names = {key: key.removeprefix("train/").replace("(B)", "") for key in row}
    found = {names[key]: value for key, value in row.items() if key not in CLOCKS}
    return {key: value for key, value in found.items() if math.isfinite(value)}


def metric_name(name: str) -> str:
    """Return `name` with the characters that MLflow refuses replaced, cut to its length."""
    return "".join(c if c.isalnum() or c in "_-. /" else "-" for c in name)[:NAME_LENGTH]
