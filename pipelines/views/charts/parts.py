"""What charts are built of: rows of data, lines of text, legends, and axes in a room."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from pipelines.views.charts.markup import mark_of
from pipelines.views.charts.theme import QUIET, SIZE, SMALL, Look, Looks

MARK, LABEL = alt.Description("mark:N"), alt.Text("label:N")
STROKE, FILL = alt.Stroke("color:N", scale=None), alt.Fill("color:N", scale=None)
SHAPE, DASH = alt.Shape("shape:N", scale=None), alt.StrokeDash("dash:N", scale=None)
ACROSS, DOWN = alt.X("x:Q", scale=None), alt.Y("y:Q", scale=None)
"""How a chart shows what `row` gives, and places in units from the axes' upper left."""
LETTER = 0.56
"""An average letter's width in units of the font's size, to leave room for text."""
KEY_LINE = 18.0
"""The height of a legend's line."""


def row(method: str, look: Look, words: str = "", **values: object) -> dict[str, object]:
    """Return one mark's data: its method and look, its tooltip, and `values`."""
    own = {"color": look.colour, "shape": look.marker, "dash": list(look.dash)}
    return {"method": method, "mark": mark_of(method, words), **own, **values}


def data(rows: Iterable[Mapping[str, object]]) -> dict[str, list[dict[str, object]]]:
    """Return rows as a chart's data; numbers that are not finite are absent."""
    # A plain dictionary: Altair would check each row of its own class against a schema.
    return {"values": [{k: _finite(value) for k, value in found.items()} for found in rows]}


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def at_x(x: float) -> alt.XValue:
    """Return a place in units from the axes' left, the same for all marks."""
    return alt.XValue(x)  # type: ignore[no-untyped-call]


def at_y(y: float) -> alt.YValue:
    """Return a place in units from the axes' top, the same for all marks."""
    return alt.YValue(y)  # type: ignore[no-untyped-call]


def text(x: float, y: float, words: str, **how: Any) -> alt.Chart:
    """Return a line of text at a place in the drawing, in units from the axes' upper left."""
    drawn: alt.Chart = alt.Chart(data([{}])).mark_text(**how)
    return drawn.encode(x=at_x(x), y=at_y(y), text=alt.TextValue(words))


def shortened(label: str, letters: int) -> str:
    """Return a label of at most so many letters, cut in its middle: names of a grid end apart."""
    if len(label) <= letters:
        return label
    first = (letters - 1) // 2
    last = letters - 1 - first
    return f"{label[:first].rstrip()}\N{HORIZONTAL ELLIPSIS}{label[-last:].lstrip()}"


def label_width(labels: Iterable[str], letters: int, size: float = SIZE) -> float:
    """Return the room that the longest of the labels needs once they are shortened."""
    return max((min(len(label), letters) for label in labels), default=0) * size * LETTER + 11


@dataclass(frozen=True)
class Room:
    """What a drawing leaves around its axes, in its units."""

    left: float
    top: float
    right: float
    bottom: float


def chart(
    layers: Sequence[alt.Chart], width: float, height: float, room: Room, label: str
) -> alt.LayerChart:
    """Return layers as one chart of ``width x height`` units with its room; `label` is read aloud.

    Letters keep their size in every chart, because nothing is fitted to its contents.
    """
    inside = width - room.left - room.right, height - room.top - room.bottom
    padding = {"left": room.left, "top": room.top, "right": room.right, "bottom": room.bottom}
    return alt.LayerChart(
        layer=list(layers),
        width=inside[0],
        height=inside[1],
        padding=padding,
        autosize="none",
        description=label,
    )


def titles(room: Room, width: float, title: str, beside: str = "") -> list[alt.Chart]:
    """Return a chart's title over its upper left corner, and quietly one over its right one."""
    inside = width - room.left - room.right
    quiet = text(inside, -11, beside, align="right", fontSize=SMALL, fill=QUIET)
    return [text(-room.left, -11, title, fontWeight=600), *([quiet] if beside else [])]


def legend(
    methods: Sequence[str], looks: Looks, x: float, y: float, columns: int = 1, column: float = 0
) -> list[alt.Chart]:
    """Return the looks of methods with their names, from a place on, a line a `KEY_LINE`."""
    rows = []
    for n, method in enumerate(methods):
        left, middle = x + column * (n % columns), y + KEY_LINE * (n // columns)
        letters = 22 if columns == 1 else int((column - 40) / (SIZE * LETTER))
        ends = {"x2": left + 28, "marker": left + 14, "name": left + 35}
        label = shortened(method, letters)
        rows.append({**row(method, looks[method], x=left, y=middle, label=label), **ends})
    base = alt.Chart(data(rows)).encode(y=DOWN, description=MARK)
    at = {name: alt.X(f"{name}:Q", scale=None) for name in ("x", "marker", "name")}
    return [
        base.mark_rule(strokeWidth=2).encode(
            x=at["x"], x2=alt.X2("x2:Q"), stroke=STROKE, strokeDash=DASH
        ),
        base.mark_point(size=60).encode(x=at["marker"], shape=SHAPE, fill=FILL, stroke=STROKE),
        base.mark_text().encode(x=at["name"], text=LABEL),
    ]
