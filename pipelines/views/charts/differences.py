"""Forest plots: each method's difference to one reference, with its interval and corrected p."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from pipelines.results.conclusions.evidence import Difference
from pipelines.results.statistics.differences import ALPHA
from pipelines.views.charts.parts import (
    ACROSS,
    LABEL,
    MARK,
    SHAPE,
    STROKE,
    Room,
    at_x,
    chart,
    data,
    label_width,
    row,
    shortened,
)
from pipelines.views.charts.theme import INK, QUIET, SMALL, WASH, Looks

WIDTH, ROW, LETTERS, LONGEST = 400.0, 32.0, 19, 33


def forest(found: Sequence[Difference], looks: Looks, digits: int, lower: bool) -> alt.LayerChart:
    """Draw differences to one reference in one column, the best on top.

    Markers are filled where the corrected p is below 5 %. `lower`: the lowest value is best.
    """
    rows = sorted(found, key=lambda d: d.mean if lower else -d.mean)
    right = label_width([numbers(d, digits) for d in rows], LONGEST, SMALL)
    room = Room(label_width([d.method for d in rows], LETTERS) + 6, 8, right, 38)
    width, height = WIDTH - room.left - room.right, ROW * len(rows)
    values = [_row(d, n, looks, digits) for n, d in enumerate(rows)]
    what = f"Differences in {rows[0].column} to {rows[0].reference}: "
    told = "; ".join(f"{d.method} {numbers(d, digits)}, {p_text(d.p_adjusted)}" for d in rows)
    layers = _layers(values, room, width, _across(rows, width))
    return chart(layers, WIDTH, room.top + height + room.bottom, room, what + told)


def numbers(found: Difference, digits: int) -> str:
    """Return mean and interval of a difference, with signs."""
    low, mean, high = (_signed(value, digits) for value in (found.low, found.mean, found.high))
    return f"{mean} [{low}, {high}]"


def p_text(p: float) -> str:
    """Return a p value as it is reported."""
    for least in (0.00001, 0.0001, 0.001):
        if p < least:
            return f"p < {least:.5f}".rstrip("0")
    return f"p = {p:.3f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _row(found: Difference, number: int, looks: Looks, digits: int) -> dict[str, object]:
    sure, look = found.p_adjusted < ALPHA, looks[found.method]
    words = f"{numbers(found, digits)}, {p_text(found.p_adjusted)}"
    return row(
        found.method, look, words, row=number, mean=found.mean, low=found.low, high=found.high,
        sure=sure, fill=look.colour if sure else "#ffffff", label=shortened(found.method, LETTERS),
        numbers=numbers(found, digits), p=p_text(found.p_adjusted),
    )  # fmt: skip


def _across(rows: Sequence[Difference], width: float) -> alt.X:
    ends = [0.0, *(d.low for d in rows), *(d.high for d in rows)]
    pad = 0.04 * (max(ends) - min(ends)) or 1.0
    scale = alt.Scale(domain=[min(ends) - pad, max(ends) + pad], nice=False, zero=False)
    title = f"{rows[0].column}, difference to {shortened(rows[0].reference, 24)}"
    axis = alt.Axis(tickCount=3 if width < 130 else 4, title=title, labelColor=INK)
    return alt.X("low:Q", scale=scale, axis=axis)


def _layers(
    values: Sequence[dict[str, object]], room: Room, width: float, across: alt.X
) -> list[alt.Chart]:
    down = alt.Y("row:O", axis=None, scale=alt.Scale(padding=0))
    ends = {"x": -room.left, "x2": width + room.right}
    stripes = [{"row": n, **ends} for n in range(1, len(values), 2)]
    zero = alt.Chart(data([{"zero": 0}])).mark_rule(stroke=INK, strokeWidth=1.2)
    base = alt.Chart(data(values)).encode(y=down, description=MARK)
    fill, right = alt.Fill("fill:N", scale=None), at_x(width + 10)
    return [
        alt.Chart(data(stripes)).mark_rect(fill=WASH).encode(x=ACROSS, x2=alt.X2("x2:Q"), y=down),
        zero.encode(x=alt.X("zero:Q")),
        base.mark_rule(strokeWidth=2).encode(x=across, x2=alt.X2("high:Q"), stroke=STROKE),
        base.mark_point().encode(x=alt.X("mean:Q"), shape=SHAPE, fill=fill, stroke=STROKE),
        base.mark_text().encode(x=at_x(-room.left), text=LABEL),
        base.mark_text(dy=-6, fontSize=SMALL).encode(x=right, text=alt.Text("numbers:N")),
        base.mark_text(dy=7, fontSize=SMALL, fill=QUIET).encode(x=right, text=alt.Text("p:N")),
    ]
