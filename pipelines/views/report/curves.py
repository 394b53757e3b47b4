"""Precision over recall, and losses over epochs, as small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.views.report.html import Html, tag
from pipelines.views.report.model import Line
from pipelines.views.report.palette import Look, Looks
from pipelines.views.report.svg import (
    QUIET,
    SMALL,
    How,
    Scale,
    figure,
    line,
    polyline,
    short_number,
    shortened,
    text,
    ticks,
)

WIDTH, HEIGHT = 340.0, 250.0
LEFT, TOP, BOTTOM = 34.0, 24.0, 214.0


def precision_recall_figure(name: str, lines: Sequence[Line], looks: Looks) -> Html:
    """Draw one class's curves, a line a method; the area below a line is its AP50."""
    across, up = Scale((0, 1), (LEFT, WIDTH - 6)), Scale((0, 1), (BOTTOM, TOP))
    drawn = [_drawn(curve, across, up, looks[curve.method], 2.0) for curve in lines]
    told = ", ".join(f"{c.method} {100 * sum(c.y) / len(c.y):.1f}" for c in lines)
    label = f"Precision over recall of {name}; AP50: {told}"
    return figure(WIDTH, HEIGHT, label, frame(across, up, name, "recall", "precision"), *drawn)


def loss_figures(lines: Sequence[Line], looks: Looks, name: str) -> list[Html]:
    """Draw one panel a method on common axes: its seeds in colour, all others grey behind them."""
    epochs = [x for curve in lines for x in curve.x]
    values = sorted(y for curve in lines for y in curve.y if math.isfinite(y))
    if not values:
        return []
    low, high = min(0.0, values[0]), values[-1]
    across = Scale((min(epochs), max(epochs)), (LEFT, WIDTH - 8))
    up = Scale((low, high * 1.03 or 1.0), (BOTTOM, TOP))
    behind = [_grey(curve, across, up) for curve in lines if curve.style == "train"]
    shared = tag("g", *behind, id=f"all-{name}")
    panels: list[Html] = []
    for method in dict.fromkeys(curve.method for curve in lines):
        mine = [curve for curve in lines if curve.method == method]
        drawn = [_drawn(curve, across, up, looks[method], 1.3) for curve in mine]
        axes = frame(across, up, method, "epoch", "loss")
        others = tag("use", href=f"#all-{name}") if panels else shared
        panels.append(figure(WIDTH, HEIGHT, _told(method, mine), axes, others, *drawn))
    return panels


def _told(method: str, lines: Sequence[Line]) -> str:
    ends = ", ".join(f"{curve.y[-1]:.3g}" for curve in lines if curve.style == "train")
    return f"Training loss of {method}; after the last epoch: {ends}"


def _grey(curve: Line, across: Scale, up: Scale) -> Html:
    x, y = map(across, curve.x), map(up, curve.y)
    return polyline(list(x), list(y), stroke="#d9dce0", stroke_width=1)


def _drawn(curve: Line, across: Scale, up: Scale, look: Look, width: float) -> Html:
    x, y = [across(value) for value in curve.x], [up(value) for value in curve.y]
    dash = "2 3" if curve.style == "val" else look.dash
    solid = curve.style == "train" and width < 2  # a seed's thin line needs no dashes
    return polyline(
        x,
        y,
        stroke=look.colour,
        stroke_width=width,
        stroke_dasharray=None if solid else dash or None,
    )


def frame(
    across: Scale,
    up: Scale,
    title: str,
    below: str,
    beside: str,
    marks: Sequence[tuple[float, str]] | None = None,
) -> list[Html]:
    """Return title, axes and grid; `marks` are the places to name below, by default round ones."""
    quiet: How = {"font_size": SMALL, "fill": QUIET}
    drawn = [text(0, 13, shortened(title, 34), font_weight=600)]
    for value in ticks(*up.values, 5):
        label = short_number(value)
        drawn.append(line(LEFT, up(value), across.places[1], up(value)))
        drawn.append(text(LEFT - 5, up(value) + 4, label, text_anchor="end", **quiet))
    for value, label in marks or [(v, short_number(v)) for v in ticks(*across.values, 5)]:
        drawn.append(text(across(value), BOTTOM + 14, label, text_anchor="middle", **quiet))
    middle = sum(across.places) / 2
    drawn.append(text(middle, BOTTOM + 30, below, text_anchor="middle", **quiet))
    drawn.append(text(across.places[1], 13, beside, text_anchor="end", **quiet))
    return drawn
