"""The one look of all charts, and a chart's two forms: SVG in the page, PNG everywhere else.

A chart is a function from plain results to an Altair chart. It takes the looks of the methods
(`looks`), puts a row for each mark together with `row`, gathers its layers with `chart`, and says
in its label what a reader would see. ``svg(chart)`` is an inline ``<svg>`` with that label, which
scales with its column and holds no script and no id; every line, dot, bar and name of a method has
``data-method="METHOD"``, the row's title as it is given, so that
``document.querySelectorAll("svg [data-method]")`` finds what to highlight. ``png(chart)`` is the
same drawing. Charts are about 400 units wide with letters of 10.5 units or more, which a phone of
390 pixels shows at 9 pixels or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from fusion.palette import INFRARED, METHODS, VISIBLE
from pipelines.views.charts.markup import mark_of, page_svg

INK, QUIET, GRID, WASH = "#222222", "#666666", "#dddddd", "#f6f7f9"
SIZE, SMALL = 11.5, 10.5
LETTER = 0.56
"""An average letter's width in units of the font's size, to leave room for text."""
CIRCLE = "M.9,0A.9,.9,0,1,1,-.9,0A.9,.9,0,1,1,.9,0Z"
SQUARE = "M-.8,-.8H.8V.8H-.8Z"
MARKERS = (
    CIRCLE,
    SQUARE,
    "M0,-1L1,.8H-1Z",
    "M0,-1.1L1.1,0L0,1.1L-1.1,0Z",
    "M0,1L1,-.8H-1Z",
    "M-.9,-1H.9L-.9,1H.9Z",
    "M-1.2,-.6H1.2V.6H-1.2Z",
)
"""Outlines around the origin, a unit high or wide; all can be drawn hollow."""
DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (2, 2), (7, 3, 2, 3))
CONFIG: dict[str, Any] = {
    "view": {"stroke": None},
    "text": {"fontSize": SIZE, "fill": INK, "align": "left", "baseline": "middle"},
    "point": {"size": 100, "opacity": 1, "strokeWidth": 1.8},
    "rule": {"strokeCap": "butt"},
    "line": {"strokeJoin": "round", "strokeWidth": 2},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": GRID,
        "labelColor": QUIET,
        "labelFontSize": SMALL,
        "labelPadding": 5,
        "titleColor": QUIET,
        "titleFontSize": SMALL,
        "titleFontWeight": "normal",
        "titlePadding": 6,
    },
    "axisX": {"labelFlush": False},
    "font": "sans-serif",
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn: `marker` is an outline of `MARKERS`, `dash` empty if solid."""

    colour: str
    marker: str
    dash: tuple[int, ...]


Looks = Mapping[str, Look]
SOURCES = {"infrared": Look(INFRARED, CIRCLE, ()), "visible": Look(VISIBLE, SQUARE, (7, 3))}


def looks(methods: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """Return the look of each row of ``(row's title, method's name)``, by the row's title.

    The source images are grey; the others take colours, markers and dashes in turn, of which the
    lists' lengths share no divisor, so that neither a grey print nor an eleventh is ambiguous.
    """
    found: dict[str, Look] = {}
    number = 0
    for title, name in methods:
        if name in SOURCES:
            found[title] = SOURCES[name]
            continue
        marker, dash = MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)]
        found[title] = Look(METHODS[number % len(METHODS)], marker, dash)
        number += 1
    return found


def swatch(look: Look) -> str:
    """Return a method's line and marker as a small inline ``<svg>`` for legends and tables."""
    dash = f' stroke-dasharray="{" ".join(map(str, look.dash))}"' if look.dash else ""
    return (
        f'<svg viewBox="0 0 28 16" aria-hidden="true"><path d="M0,8H28" stroke="{look.colour}" '
        f'stroke-width="2.4"{dash}/><path d="{look.marker}" transform="translate(14 8) scale(5)" '
        f'fill="{look.colour}"/></svg>'
    )


def shade(share: float) -> str:
    """Return a colour from white (0) to dark blue (1), for a cell of a matrix."""
    share = min(max(share, 0.0), 1.0)
    ends = ((255, 255, 255), (8, 69, 130))
    return "#" + bytes(round(a + (b - a) * share**0.8) for a, b in zip(*ends, strict=True)).hex()


def row(method: str, look: Look, words: str = "", **values: object) -> dict[str, object]:
    """Return one mark's data: its method and look, its tooltip, and `values`."""
    own = {"color": look.colour, "shape": look.marker, "dash": list(look.dash)}
    return {"method": method, "mark": mark_of(method, words), **own, **values}


def data(rows: Iterable[Mapping[str, object]]) -> alt.InlineData:
    """Return rows as a chart's data; numbers that are not finite are absent."""
    known = [{key: _finite(value) for key, value in found.items()} for found in rows]
    return alt.InlineData(values=known)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(x: float, y: float, words: str, **how: Any) -> alt.Chart:
    """Return a line of text at a place in the drawing, in units from the axes' upper left."""
    drawn: alt.Chart = alt.Chart(data([{}])).mark_text(**how)
    return drawn.encode(x=alt.value(x), y=alt.value(y), text=alt.value(words))


def shortened(label: str, letters: int) -> str:
    """Return a label of at most so many letters, cut in its middle: names of a grid end apart."""
    if len(label) <= letters:
        return label
    first = (letters - 1) // 2
    last = letters - 1 - first
    return f"{label[:first].rstrip()}\N{HORIZONTAL ELLIPSIS}{label[-last:].lstrip()}"


def label_width(labels: Iterable[str], letters: int) -> float:
    """Return the room that the longest of the labels needs once they are shortened."""
    return max((min(len(label), letters) for label in labels), default=0) * SIZE * LETTER + 11


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


def svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart as inline SVG for a page; see this module's docstring."""
    spec = _spec(chart)
    return page_svg(vl_convert.vegalite_to_svg(spec), str(spec.get("description", "")))


def png(chart: alt.TopLevelMixin, scale: float = 2.0) -> bytes:
    """Return a chart as PNG on white, `scale` pixels a unit."""
    return vl_convert.vegalite_to_png({**_spec(chart), "background": "white"}, scale=scale)


def _spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    # Unchecked, since checking takes five times as long as all else here; the tests check.
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return {**spec, "config": CONFIG, "background": None}
