"""The few parts that all figures are drawn of.

Figures are written by hand as inline SVG, not by matplotlib: their text stays text in the page's
font (it can be searched, read aloud and printed sharply), a figure takes 3 to 40 kB, nothing is
imported, and every label passes the escaping of `tag`. They are drawn 400 units wide at most with
letters of 10.5 units or more, which a phone of 390 pixels shows at 9 pixels or more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pipelines.views.report.html import Attribute, Child, Html, tag
from pipelines.views.report.palette import Look

How: TypeAlias = dict[str, Attribute]
"""Attributes that an element has besides its place."""

INK, QUIET, GRID = "#222222", "#666666", "#dddddd"
SIZE, SMALL = 11.5, 10.5
LETTER = 0.56
"""An average letter's width in units of the font's size, to leave room for text."""


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from values to coordinates."""

    values: tuple[float, float]
    places: tuple[float, float]
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        low, high = self.values
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.places[0] + share * (self.places[1] - self.places[0])


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers within [low, high], about as many as wanted."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten within [low, high]; of many powers only these."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high < 300 * low else (1,)
    every = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in every if low * 0.999 <= value <= high * 1.001]


def short_number(value: float) -> str:
    """Return a tick's label, with a true minus."""
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def figure(width: float, height: float, label: str, *children: Child) -> Html:
    """Return an SVG drawing that grows and shrinks with its column; `label` is read aloud."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", *children, viewBox=box, role="img", aria_label=label)


def text(x: float, y: float, content: str, **how: Attribute) -> Html:
    """Return a line of text; by default in ink, in the size of labels, from `x` on."""
    given: How = {"font_size": SIZE, "fill": INK, **how}
    return tag("text", content, x=x, y=y, **given)


def line(x1: float, y1: float, x2: float, y2: float, **how: Attribute) -> Html:
    """Return a straight line, by default a thin grid line."""
    given: How = {"stroke": GRID, **how}
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **given)


def rect(x: float, y: float, width: float, height: float, **how: Attribute) -> Html:
    """Return a rectangle."""
    return tag("rect", x=x, y=y, width=max(width, 0.0), height=height, **how)


def polyline(x: Sequence[float], y: Sequence[float], **how: Attribute) -> Html:
    """Return a curve; points that are not finite interrupt it."""
    parts, pen = [], "M"
    for across, down in zip(x, y, strict=True):
        if math.isfinite(across) and math.isfinite(down):
            parts.append(f"{pen}{across:.1f} {down:.1f}")
            pen = "L"
        else:
            pen = "M"
    given: How = {"fill": "none", "stroke_linejoin": "round", **how}
    return tag("path", d="".join(parts), **given)


SHAPES = {
    "square": "M-4-4H4V4H-4Z",
    "triangle": "M0-5L5 4H-5Z",
    "diamond": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "point": "M0 5L5-4H-5Z",
    "hourglass": "M-4.5-5H4.5L-4.5 5H4.5Z",
    "slab": "M-6-3H6V3H-6Z",
    "circle": "M-4.5 0A4.5 4.5 0 1 0 4.5 0A4.5 4.5 0 1 0-4.5 0Z",
}


def marker(x: float, y: float, look: Look, hollow: bool = False) -> Html:
    """Return a method's marker; hollow says "not sure"."""
    return tag(
        "path",
        d=SHAPES[look.marker],
        transform=f"translate({x:.1f} {y:.1f})",
        fill="#ffffff" if hollow else look.colour,
        stroke=look.colour,
        stroke_width=1.8,
    )


def shortened(label: str, letters: int) -> str:
    """Return a label of at most so many letters."""
    return (
        label
        if len(label) <= letters
        else label[: letters - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    )


def label_width(labels: Sequence[str], letters: int = 19) -> float:
    """Return the room that the longest of the labels needs once they are shortened."""
    return max((min(len(label), letters) for label in labels), default=0) * SIZE * LETTER + 11
