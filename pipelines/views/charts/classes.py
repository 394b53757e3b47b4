"""Bars by class or metric, with their intervals and the paper's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from pipelines.results.values import Row, Table, Value
from pipelines.views.charts.parts import (
    FILL,
    LABEL,
    MARK,
    Room,
    at_x,
    chart,
    data,
    label_width,
    row,
    shortened,
    titles,
)
from pipelines.views.charts.theme import INK, SMALL, Looks

WIDTH, ROW, HEAD, LETTERS, LONGEST = 340.0, 19.0, 24.0, 18, 14
DIAMOND = "M0,-1L1,0L0,1L-1,0Z"


@dataclass(frozen=True)
class Bar:
    """A method's value in one column, and the paper's."""

    method: str
    value: Value
    paper: float | None


def class_bars(table: Table, column: int, looks: Looks) -> alt.LayerChart | None:
    """Draw one column of a table as bars from zero, with intervals and the paper's values.

    None where no method has a value, as of a class that the test images do not show.
    """
    bars = _bars(table, column)
    if not bars:
        return None
    name, digits = table.columns[column], table.digits
    numbers = [f"{bar.value.mean:.{digits}f}" for bar in bars]
    right = label_width(numbers, LONGEST, SMALL) + 4
    room = Room(label_width([bar.method for bar in bars], LETTERS), HEAD, right, 22)
    width, height = WIDTH - room.left - room.right, ROW * len(bars)
    rows = [_row(bar, n, looks, digits) for n, bar in enumerate(bars)]
    told = ", ".join(f"{bar.method} {number}" for bar, number in zip(bars, numbers, strict=True))
    layers = [*titles(room, WIDTH, shortened(name, 40)), *_marks(rows, room, width, _across(bars))]
    return chart(layers, WIDTH, HEAD + height + room.bottom, room, f"{name}: {told}")


def _bars(table: Table, column: int) -> list[Bar]:
    found: list[Bar] = []
    for place, line in enumerate(table.rows):
        value = line.values[column]
        if line.kind == "ours" and value is not None:
            found.append(Bar(line.label, value, _printed(table.rows, place, column)))
    return found


def _printed(rows: Sequence[Row], place: int, column: int) -> float | None:
    """Return the paper's value of the row at `place`, which stands directly beneath ours."""
    below = rows[place + 1] if place + 1 < len(rows) else None
    value = below.values[column] if below is not None and below.kind == "paper" else None
    return value.mean if value is not None else None


def _row(bar: Bar, place: int, looks: Looks, digits: int) -> dict[str, object]:
    low, high = bar.value.ci95 or (None, None)
    number = f"{bar.value.mean:.{digits}f}"
    between = f" [{low:.{digits}f}, {high:.{digits}f}]" if bar.value.ci95 else ""
    printed = f", paper {bar.paper:.{digits}f}" if bar.paper is not None else ""
    return row(
        bar.method, looks[bar.method], number + between + printed, row=place,
        mean=bar.value.mean, low=low, high=high, paper=bar.paper,
        label=shortened(bar.method, LETTERS), number=number,
    )  # fmt: skip


def _across(bars: Sequence[Bar]) -> alt.X:
    ends = [0.0]
    for bar in bars:
        ends += [bar.value.mean, *(bar.value.ci95 or ()), bar.paper or 0.0]
    scale = alt.Scale(domain=[min(ends), max(ends) or 1.0], nice=False)
    axis = alt.Axis(tickCount=5, title=None, labelPadding=3)
    return alt.X("mean:Q", scale=scale, axis=axis)


def _marks(
    rows: Sequence[dict[str, object]], room: Room, width: float, across: alt.X
) -> list[alt.Chart]:
    down = alt.Y("row:O", axis=None, scale=alt.Scale(paddingInner=0.3, paddingOuter=0.15))
    base = alt.Chart(data(rows)).encode(y=down, description=MARK)
    known = base.transform_filter("isValid(datum.low)").mark_rule(stroke=INK, strokeWidth=1.6)
    paper = base.transform_filter("isValid(datum.paper)").mark_point(
        shape=DIAMOND, fill="#ffffff", stroke=INK, strokeWidth=1
    )
    numbers = base.mark_text(align="right", fontSize=SMALL)
    return [
        base.mark_bar(opacity=0.8).encode(x=across, fill=FILL),
        known.encode(x=alt.X("low:Q"), x2=alt.X2("high:Q")),
        paper.encode(x=alt.X("paper:Q")),
        base.mark_text().encode(x=at_x(-room.left), text=LABEL),
        numbers.encode(x=at_x(width + room.right), text=alt.Text("number:N")),
    ]
