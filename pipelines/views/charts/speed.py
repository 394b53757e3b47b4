"""Speed against accuracy, with the methods that no other beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from pipelines.views.charts.parts import (
    ACROSS,
    DOWN,
    FILL,
    LABEL,
    LETTER,
    MARK,
    SHAPE,
    STROKE,
    Room,
    chart,
    data,
    row,
    shortened,
    titles,
)
from pipelines.views.charts.theme import INK, SIZE, Looks

WIDTH, HEIGHT, ROOM = 400.0, 320.0, Room(40, 24, 8, 40)
INSIDE = WIDTH - ROOM.left - ROOM.right, HEIGHT - ROOM.top - ROOM.bottom
LINE, LETTERS = 14.0, 22
SECONDS = "seconds a pair (logarithmic; left is faster)"


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


def scatter(points: Sequence[Point], column: str, looks: Looks, lower: bool) -> alt.LayerChart:
    """Draw the points with their intervals, names, and the front as steps."""
    axes = Axes.of(points)
    front = pareto(points, lower)
    layers = [_steps(front, axes), *_points(points, looks), *_names(points, axes, looks)]
    title = titles(ROOM, WIDTH, shortened(column, 40))
    told = ", ".join(f"{p.method} {p.seconds:.3g} s {p.value:.3g}" for p in points)
    best = ", ".join(p.method for p in front)
    label = f"{column} over seconds a pair: {told}. On the front: {best}"
    return chart([*layers, *title], WIDTH, HEIGHT, ROOM, label)


@dataclass(frozen=True)
class Axes:
    """The ranges of seconds (logarithmic) and of values that the drawing shows."""

    seconds: tuple[float, float]
    values: tuple[float, float]

    @classmethod
    def of(cls, points: Sequence[Point]) -> Axes:
        """Return ranges with a margin around all points and their intervals."""
        seconds = [p.seconds for p in points]
        ends = [end for p in points for end in (p.value, *(p.interval or ()))]
        pad = 0.06 * (max(ends) - min(ends)) or 1.0
        across = (min(seconds) / 1.5, max(seconds) * 1.5)
        return cls(across, (min(ends) - pad, max(ends) + pad))

    def place(self, seconds: float, value: float) -> tuple[float, float]:
        """Return where a point is drawn, in units from the axes' upper left, as Vega does."""
        fast, slow = map(math.log, self.seconds)
        low, high = self.values
        share = (math.log(seconds) - fast) / (slow - fast)
        return INSIDE[0] * share, INSIDE[1] * (high - value) / (high - low)


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten within [low, high]; of many powers only these."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high < 300 * low else (1,)
    every = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in every if low * 0.999 <= value <= high * 1.001]


def _steps(front: Sequence[Point], axes: Axes) -> alt.Chart:
    """Return the front, which reaches to the right end, with the axes of all."""
    last = {"seconds": axes.seconds[1], "value": front[-1].value}
    ends = [{"seconds": p.seconds, "value": p.value} for p in front]
    line: alt.Chart = alt.Chart(data([*ends, last])).mark_line(
        interpolate="step-after", stroke=INK, strokeWidth=1.2, strokeDash=[4, 3]
    )
    ticks = alt.Axis(values=log_ticks(*axes.seconds), title=SECONDS, format="~g")
    across = alt.Scale(type="log", domain=list(axes.seconds), nice=False)
    up = alt.Scale(domain=list(axes.values), nice=False, zero=False)
    return line.encode(
        x=alt.X("seconds:Q", scale=across, axis=ticks),
        y=alt.Y("value:Q", scale=up, axis=alt.Axis(tickCount=5, title=None)),
        order=alt.Order("seconds:Q"),
    )


def _points(points: Sequence[Point], looks: Looks) -> list[alt.Chart]:
    rows = []
    for p in points:
        low, high = p.interval or (p.value, p.value)
        words = f"{p.seconds:.3g} s a pair, {p.value:.4g}"
        look = looks[p.method]
        rows.append(
            row(p.method, look, words, seconds=p.seconds, value=p.value, low=low, high=high)
        )
    base = alt.Chart(data(rows)).encode(x=alt.X("seconds:Q"), description=MARK, stroke=STROKE)
    return [
        base.mark_rule(strokeWidth=1.2, opacity=0.7).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_point().encode(y=alt.Y("value:Q"), fill=FILL, shape=SHAPE),
    ]


def _names(points: Sequence[Point], axes: Axes, looks: Looks) -> list[alt.Chart]:
    """Return the names, each where it covers no other name and no point, with a leader if far."""
    rows = []
    for point, box in name_boxes(points, axes):
        x, y = axes.place(point.seconds, point.value)
        left, middle = box[0], box[1] + LINE / 2
        near, far = left if left > x else left + box[2], abs(middle - y) > 1.5 * LINE
        label = shortened(point.method, LETTERS)
        given = row(point.method, looks[point.method], x=left, y=middle, label=label)
        rows.append({**given, "end": near, "point_x": x, "point_y": y, "far": far})
    base = alt.Chart(data(rows)).encode(y=DOWN, description=MARK)
    halo = base.mark_text(stroke="#ffffff", strokeWidth=3, strokeJoin="round")
    leaders = base.transform_filter("datum.far").mark_rule(stroke="#999999", strokeWidth=0.7)
    end = alt.X("end:Q", scale=None)
    return [
        leaders.encode(x=end, x2=alt.X2("point_x:Q"), y2=alt.Y2("point_y:Q")),
        halo.encode(x=ACROSS, text=LABEL),
        base.mark_text().encode(x=ACROSS, text=LABEL),
    ]


Box = tuple[float, float, float, float]
"""Left, top, width and height, in units from the axes' upper left."""


def name_boxes(points: Sequence[Point], axes: Axes) -> list[tuple[Point, Box]]:
    """Return where each name stands: near its point, on no point and no other name if it can."""
    places = {p.method: axes.place(p.seconds, p.value) for p in points}
    taken: list[Box] = [(x - 6, y - 6, 12.0, 12.0) for x, y in places.values()]
    found = []
    for point in sorted(points, key=lambda p: places[p.method][1]):
        wide = len(shortened(point.method, LETTERS)) * SIZE * LETTER
        box = _free(*places[point.method], wide, taken)
        taken.append(box)
        found.append((point, box))
    return found


def _free(x: float, y: float, wide: float, taken: Sequence[Box]) -> Box:
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
        if box[0] >= 0 and box[0] + wide <= INSIDE[0] and 0 <= box[1] <= INSIDE[1] - LINE
    ]
    free = [box for box in inside if not any(_touch(box, other) for other in taken)]
    return (free or inside or tries)[0]


def _touch(a: Box, b: Box) -> bool:
    apart = a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
    return not apart
