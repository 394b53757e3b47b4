"""The one look of all charts, and a chart's two forms: SVG in the page, PNG everywhere else.

A chart is a function from plain results to an Altair chart. It takes the looks of the methods
(`looks`), builds itself of `parts`, and says in its label what a reader would see. ``svg(chart)``
is an inline ``<svg>`` with that label, which scales with its column and holds no script and no id;
every line, dot, bar and name of a method has ``data-method="METHOD"``, the row's title as it is
given, so that ``document.querySelectorAll("svg [data-method]")`` finds what to highlight.
``png(chart)`` is the same drawing. Charts are about 400 units wide with letters of 10.5 units or
more, which a phone of 390 pixels shows at 9 pixels or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from fusion.palette import INFRARED, METHODS, VISIBLE
from pipelines.views.charts.markup import page_svg

Chart: TypeAlias = alt.TopLevelMixin

INK, QUIET, GRID, WASH = "#222222", "#666666", "#dddddd", "#f6f7f9"
SIZE, SMALL, MARGIN = 11.5, 10.5, 8
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


def svg(chart: Chart) -> str:
    """Return a chart as inline SVG for a page; see this module's docstring."""
    spec = _spec(chart)
    return page_svg(vl_convert.vegalite_to_svg(spec), str(spec.get("description", "")))


def svg_file(chart: Chart) -> str:
    """Return a chart as an SVG file of its own."""
    return vl_convert.vegalite_to_svg({**_spec(chart), "background": "white"})


def png(chart: Chart) -> bytes:
    """Return a chart as PNG on white with a margin, two pixels a unit."""
    spec = _spec(chart)
    room = spec.get("padding", {})
    padding = {side: MARGIN + room.get(side, 0) for side in ("left", "top", "right", "bottom")}
    picture = {**spec, "padding": padding, "background": "white"}
    return vl_convert.vegalite_to_png(picture, scale=2)


def write_both(chart: Chart, place: Path) -> list[Path]:
    """Write a chart as PLACE.svg and PLACE.png, and return where."""
    paths = [place.with_name(f"{place.name}.{ending}") for ending in ("svg", "png")]
    paths[0].write_text(svg_file(chart), encoding="utf-8")
    paths[1].write_bytes(png(chart))
    return paths


def _spec(chart: Chart) -> dict[str, Any]:
    # Unchecked, since checking takes five times as long as all else here; the tests check.
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return {**spec, "config": CONFIG, "background": None}
