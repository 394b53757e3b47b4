"""Precision over recall, and losses over epochs, as small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import altair as alt

from detection.ap import PrecisionRecall
from pipelines.results.values import Line
from pipelines.views.charts.parts import (
    DASH,
    KEY_LINE,
    MARK,
    STROKE,
    Room,
    chart,
    data,
    legend,
    row,
    shortened,
    titles,
)
from pipelines.views.charts.theme import CIRCLE, Look, Looks, looks

WIDTH, HEIGHT, ROOM = 340.0, 250.0, Room(34, 24, 12, 36)
BEHIND, VALIDATION = Look("#d9dce0", CIRCLE, ()), (2, 3)
POINTS, BEHIND_POINTS = 200, 40
"""How many points a line of losses has at most, and one behind another's."""


def precision_recall_panel(name: str, lines: Sequence[Line], looks: Looks) -> alt.LayerChart:
    """Draw one class's curves, a line a method; the area below a line is its AP50."""
    title = titles(ROOM, WIDTH, shortened(name, 34), "precision")
    told = ", ".join(f"{line.method} {_area(line.y)}" for line in lines)
    label = f"Precision over recall of {name}; AP50: {told}"
    return chart([_unit_square(lines, looks), *title], WIDTH, HEIGHT, ROOM, label)


def class_precision_recall(curves: PrecisionRecall, title: str) -> alt.LayerChart:
    """Draw one detector's curves, a line a class, with its legend: a picture of its own."""
    names = {name: f"{name} (AP50 {_area(y)})" for name, y in curves.precision.items()}
    lines = [Line(names[name], curves.recall, y) for name, y in curves.precision.items()]
    given = looks([(name, name) for name in names.values()])
    room, width = replace(ROOM, right=212), WIDTH + 200
    height = max(HEIGHT, room.top + KEY_LINE * len(names))
    key = legend(list(given), given, WIDTH - room.left, 10)
    label = f"Precision over recall by class: {', '.join(names.values())}"
    title_lines = titles(room, width, shortened(title, 48), "precision")
    return chart([_unit_square(lines, given), *title_lines, *key], width, height, room, label)


def _area(precision: Sequence[float]) -> str:
    return f"{100 * fmean(precision):.1f}"


def _unit_square(lines: Sequence[Line], looks: Looks) -> alt.Chart:
    rows = [_rows(line, n, looks[line.method], _area(line.y)) for n, line in enumerate(lines)]
    return _curves([r for one in rows for r in one], (0.0, 1.0), (0.0, 1.0), "recall", 2.0)


def loss_panels(lines: Sequence[Line], looks: Looks) -> dict[str, alt.LayerChart]:
    """Draw one panel a method on common axes: its seeds in colour, all others grey behind them."""
    values = [y for line in lines for y in line.y if math.isfinite(y)]
    if not values:
        return {}
    epochs = [x for line in lines for x in line.x]
    across = min(epochs), max(epochs)
    up = min(0.0, *values), max(values) * 1.03 or 1.0
    trained = [thinned(line, BEHIND_POINTS) for line in lines if line.style == "train"]
    behind = [_rows(line, n, BEHIND) for n, line in enumerate(trained)]
    grey = _curves([r for one in behind for r in one], across, up, "epoch", 1.0)
    return {
        method: _losses([line for line in lines if line.method == method], looks[method], grey)
        for method in dict.fromkeys(line.method for line in lines)
    }


def _losses(lines: Sequence[Line], look: Look, grey: alt.Chart) -> alt.LayerChart:
    method = lines[0].method
    seed, validation = replace(look, dash=()), replace(look, dash=VALIDATION)
    rows = []
    for n, line in enumerate(lines):
        words = f"{line.y[-1]:.3g} after the last epoch"
        given = validation if line.style == "val" else seed
        rows += _rows(thinned(line, POINTS), n, given, words)
    drawn = _marked(rows, 1.3).encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
    ends = ", ".join(f"{line.y[-1]:.3g}" for line in lines if line.style == "train")
    label = f"Training loss of {method}; after the last epoch: {ends}"
    title = titles(ROOM, WIDTH, shortened(method, 34), "loss")
    return chart([grey, drawn, *title], WIDTH, HEIGHT, ROOM, label)


def thinned(line: Line, points: int) -> Line:
    """Return a line with at most so many points, evenly apart, and its last."""
    last = len(line.x) - 1
    step = max(1, -(-last // (points - 1)))
    kept = sorted({*range(0, last + 1, step), last})
    return replace(line, x=tuple(line.x[n] for n in kept), y=tuple(line.y[n] for n in kept))


def _rows(line: Line, number: int, look: Look, words: str = "") -> list[dict[str, object]]:
    points = zip(line.x, line.y, strict=True)
    return [row(line.method, look, words, line=number, x=x, y=y) for x, y in points]


Range = tuple[float, float]


def _curves(
    rows: Sequence[dict[str, object]], across: Range, up: Range, below: str, width: float
) -> alt.Chart:
    """Return lines with the axes of all."""
    scales = [alt.Scale(domain=list(ends), nice=False, zero=False) for ends in (across, up)]
    step = 1 if below == "epoch" else alt.Undefined
    down = alt.Axis(title=below, tickCount=5, tickMinStep=step, grid=False)
    return _marked(rows, width).encode(
        x=alt.X("x:Q", scale=scales[0], axis=down),
        y=alt.Y("y:Q", scale=scales[1], axis=alt.Axis(title=None, tickCount=5)),
    )


def _marked(rows: Sequence[dict[str, object]], width: float) -> alt.Chart:
    drawn: alt.Chart = alt.Chart(data(rows)).mark_line(strokeWidth=width)
    return drawn.encode(
        detail=alt.Detail("line:N"),
        description=MARK,
        stroke=STROKE,
        strokeDash=DASH,
    )
