"""A method with a ``grid:``, expanded into one method per point, each with a readable name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

TRAINING = "train."
MOST_POINTS = 1000
"""Each is a row, or a table, of its own."""


def check_points(values: Iterable[Sequence[Any]], where: str) -> None:
    """Raise ValueError for a grid of too many points."""
    points = prod(map(len, values))
    if points > MOST_POINTS:
        raise ValueError(
            f"{where} has {points:,} points, and a grid may have {MOST_POINTS:,}; take fewer values"
        )


def expand_grid(method: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one method per point of the grid, the last key varying fastest; else the method.

    ``grid: {KEY: [VALUE, ...]}`` sweeps a parameter, ``train.KEY`` a setting of the training; a
    point's value replaces what params or train say. Raises ValueError for a grid that is none.
    """
    rest = {key: value for key, value in method.items() if key != "grid"}
    if "grid" not in method:
        return [rest]
    row, grid = str(rest.get("label") or rest.get("name")), method["grid"]
    if not isinstance(grid, dict) or not grid:
        raise ValueError(f'grid of "{row}" must map keys to lists of values: {{kernel: [3, 5]}}')
    for key, values in grid.items():
        _check(row, str(key), values, rest)
    check_points(grid.values(), f'grid of "{row}"')
    points = product(*([(str(key), value) for value in values] for key, values in grid.items()))
    return [_at(dict(point), rest, row) for point in points]


def _check(row: str, key: str, values: Any, rest: Mapping[str, Any]) -> None:
    if not isinstance(values, list) or not values:
        raise ValueError(f'grid.{key} of "{row}" must be a list of at least one value')
    check_points([values], f'grid.{key} of "{row}"')  # before each is compared with each
    shown = [readable(value) for value in values]
    twice = [text for text in shown if shown.count(text) > 1]
    if twice:
        raise ValueError(f'grid.{key} of "{row}" lists {twice[0]} twice; keep one of them')
    if key.startswith(TRAINING) and not isinstance(rest.get("train"), dict):
        raise ValueError(f'grid.{key} of "{row}" needs a training; give the method "train"')


def _at(point: Mapping[str, Any], rest: Mapping[str, Any], row: str) -> dict[str, Any]:
    """Return the method at one point."""
    params, train = dict(rest.get("params") or {}), dict(rest.get("train") or {})
    for key, value in point.items():
        if key.startswith(TRAINING):
            train[key.removeprefix(TRAINING)] = value
        else:
            params[key] = value
    words = [f"{key.removeprefix(TRAINING)}={readable(value)}" for key, value in point.items()]
    made = {**rest, "params": params, "label": f"{row} {', '.join(words)}"}
    return {**made, "train": train} if train else made


def readable(value: Any) -> str:
    """Return a value as a row's name shows it: [15, 7, 5, 5] as 15-7-5-5, true as on."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "-".join(map(readable, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)
