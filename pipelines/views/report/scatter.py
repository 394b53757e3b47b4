"""Speed against accuracy, with the methods that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.views.report.html import Html, tag
from pipelines.views.report.palette import Looks
from pipelines.views.report.svg import (
    GRID,
    INK,
    LETTER,
    QUIET,
    SIZE,
    SMALL,
    How,
    Scale,
    figure,
    line,
    log_ticks,
    marker,
    polyline,
    short_number,
    shortened,
    text,
    ticks,
)

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 400.0, 320.0, 40.0, 24.0, 280.0
LINE = 14.0
HALO: How = {"stroke": "#ffffff", "stroke_width": 3, "paint_order": "stroke"}
"""Keeps a name apart from a line behind it."""


@dataclass(frozen=True)
class Point:
    """A method: seconds a pair, its headline, and the headline's interval."""

    method: str
    seconds: float
    value: float
    interval: tuple[float, float] | None


def pareto(points: Sequence[Point], lower: bool) -> list[Point]:
    """Return the methods that no other beats in speed without being worse, the fastest first."""
    sign = -1 if lower else 1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.seconds, -sign * p.value)):
        if not front or sign * point.value > sign * front[-1].value:
            front.append(point)
    return front


def scatter(points: Sequence[Point], column: str, looks: Looks, lower: bool) -> Html:
    """Draw the points with their intervals, names, and the front as steps."""
    across, up = _scales(points)
    front = pareto(points, lower)
    drawn: list[Html] = [_steps(front, across, up)]
    for point in points:
        drawn.append(_point(point, across, up, looks))
    labels = _labels(points, across, up)
    told = ", ".join(f"{p.method} {p.seconds:.3g} s {p.value:.3g}" for p in points)
    best = ", ".join(p.method for p in front)
    label = f"{column} over seconds a pair: {told}. On the front: {best}"
    return figure(WIDTH, HEIGHT, label, _frame(across, up, column), *drawn, *labels)


def _scales(points: Sequence[Point]) -> tuple[Scale, Scale]:
    seconds = [point.seconds for point in points]
    ends = [end for p in points for end in (p.value, *(p.interval or ()))]
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 1.0
    across = Scale((min(seconds) / 1.5, max(seconds) * 1.5), (LEFT, WIDTH - 6), log=True)
    return across, Scale((low - pad, high + pad), (BOTTOM, TOP))


def _frame(across: Scale, up: Scale, column: str) -> list[Html]:
    quiet: How = {"font_size": SMALL, "fill": QUIET}
    drawn = [text(0, 13, column, font_weight=600)]
    for value in ticks(*up.values, 5):
        drawn.append(line(LEFT, up(value), across.places[1], up(value)))
        drawn.append(text(LEFT - 5, up(value) + 4, short_number(value), text_anchor="end", **quiet))
    for value in log_ticks(*across.values):
        x = across(value)
        drawn.append(line(x, TOP, x, BOTTOM, stroke=GRID))
        drawn.append(text(x, BOTTOM + 14, short_number(value), text_anchor="middle", **quiet))
    title = "seconds a pair (logarithmic; left is faster)"
    middle = sum(across.places) / 2
    return [*drawn, text(middle, BOTTOM + 31, title, text_anchor="middle", **quiet)]


def _steps(front: Sequence[Point], across: Scale, up: Scale) -> Html:
    x, y = [across(front[0].seconds)], [up(front[0].value)]
    for point in front[1:]:
        x += [across(point.seconds)] * 2
        y += [y[-1], up(point.value)]
    x.append(across.places[1])
    y.append(y[-1])
    return polyline(x, y, stroke=INK, stroke_width=1.2, stroke_dasharray="4 3")


def _point(point: Point, across: Scale, up: Scale, looks: Looks) -> Html:
    x, y, look = across(point.seconds), up(point.value), looks[point.method]
    low, high = (up(end) for end in point.interval or (point.value, point.value))
    title = tag("title", f"{point.method}: {point.seconds:.3g} s a pair, {point.value:.4g}")
    whisker = line(x, low, x, high, stroke=look.colour, stroke_width=1.2, opacity=0.7)
    return tag("g", title, whisker, marker(x, y, look))


def _labels(points: Sequence[Point], across: Scale, up: Scale) -> list[Html]:
    """Return the names, each where it covers no other name and no point, with a leader if far."""
    taken = [(across(p.seconds) - 6, up(p.value) - 6, 12.0, 12.0) for p in points]
    drawn = []
    for point in sorted(points, key=lambda p: up(p.value)):
        name = shortened(point.method, 22)
        x, y = across(point.seconds), up(point.value)
        box = _place(x, y, len(name) * SIZE * LETTER, taken)
        taken.append(box)
        left, middle = box[0], box[1] + LINE / 2
        end = left if left > x else left + box[2]
        if abs(middle - y) > 1.5 * LINE:
            drawn.append(line(x, y, end, middle, stroke="#999999", stroke_width=0.7))
        drawn.append(text(left, middle + 4, name, **HALO))
    return drawn


Box = tuple[float, float, float, float]


def _place(x: float, y: float, wide: float, taken: Sequence[Box]) -> Box:
    """Return the free box for a name that is nearest to its point; beside it if none is free."""
    tries = [
        (left, y - LINE / 2 + side * (step + 1) * LINE / 2, wide, LINE)
        for step in range(14)
        for side in (-1, 1)  # above first: the front's steps run to the right
        for left in (x + 7, x - 7 - wide)
    ]
    inside = [
        box
        for box in tries
        if box[0] >= LEFT and box[0] + wide <= WIDTH and TOP <= box[1] <= BOTTOM - LINE
    ]
    free = [box for box in inside if not any(_touch(box, other) for other in taken)]
    return (free or inside or tries)[0]


def _touch(a: Box, b: Box) -> bool:
    apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
    return not apart
