"""Forest plots: each method's difference to one reference, with its interval and Holm's p."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.results.agreement import Difference
from pipelines.results.evidence import ALPHA
from pipelines.views.report.html import Html, tag
from pipelines.views.report.palette import Look, Looks
from pipelines.views.report.svg import (
    QUIET,
    SMALL,
    How,
    Scale,
    figure,
    label_width,
    line,
    marker,
    rect,
    short_number,
    shortened,
    text,
    ticks,
)

WIDTH, ROW, HEAD = 400.0, 32.0, 8.0
NUMBERS = 118.0


def forest(found: Sequence[Difference], looks: Looks, digits: int, lower: bool) -> Html:
    """Draw differences to one reference in one column, the best on top.

    Markers are filled where Holm's p is below 5 %. `lower` says that the lowest value is best.
    """
    rows = sorted(found, key=lambda d: d.mean if lower else -d.mean)
    names = label_width([d.method for d in rows])
    scale = _scale(rows, names)
    bottom = HEAD + ROW * len(rows)
    drawn = [_row(d, HEAD + ROW * n, scale, looks[d.method], digits) for n, d in enumerate(rows)]
    what = f"Differences in {rows[0].column} to {rows[0].reference}: "
    told = "; ".join(f"{d.method} {numbers(d, digits)}, {p_text(d.p_holm)}" for d in rows)
    axis = _axis(
        scale, bottom, f"{rows[0].column}, difference to {shortened(rows[0].reference, 24)}"
    )
    return figure(WIDTH, bottom + 38, what + told, axis, *drawn)


def numbers(found: Difference, digits: int) -> str:
    """Return mean and interval of a difference, with signs."""
    low, mean, high = (_signed(value, digits) for value in (found.low, found.mean, found.high))
    return f"{mean} [{low}, {high}]"


def p_text(p: float) -> str:
    """Return a p value as it is reported."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _scale(rows: Sequence[Difference], names: float) -> Scale:
    ends = [0.0, *(d.low for d in rows), *(d.high for d in rows)]
    low, high = min(ends), max(ends)
    pad = 0.04 * (high - low) or 1.0
    return Scale((low - pad, high + pad), (names + 6, WIDTH - NUMBERS - 10))


def _axis(scale: Scale, bottom: float, title: str) -> list[Html]:
    drawn = [line(scale(0), HEAD, scale(0), bottom, stroke="#222222", stroke_width=1.2)]
    for value in ticks(*scale.values, 4):
        if value != 0:
            drawn.append(line(scale(value), HEAD, scale(value), bottom))
        label = short_number(value)
        drawn.append(text(scale(value), bottom + 14, label, font_size=SMALL, text_anchor="middle"))
    middle = sum(scale.places) / 2
    how: How = {"font_size": SMALL, "fill": QUIET, "text_anchor": "middle"}
    return [*drawn, text(middle, bottom + 30, title, **how)]


def _row(found: Difference, top: float, scale: Scale, look: Look, digits: int) -> Html:
    middle, right = top + ROW / 2, WIDTH - NUMBERS
    sure = found.p_holm < ALPHA
    low, high = scale(found.low), scale(found.high)
    return tag(
        "g",
        tag("title", f"{found.method}: {numbers(found, digits)}, {p_text(found.p_holm)}"),
        rect(0, top, WIDTH, ROW, fill="#f6f7f9" if int(top / ROW) % 2 else "none"),
        text(0, middle + 4, shortened(found.method, 19)),
        line(scale(0), top, scale(0), top + ROW, stroke="#222222", stroke_width=1.2),
        line(low, middle, high, middle, stroke=look.colour, stroke_width=2),
        marker(scale(found.mean), middle, look, hollow=not sure),
        text(right, middle - 2, numbers(found, digits), font_size=SMALL),
        text(right, middle + 11, p_text(found.p_holm), font_size=SMALL, fill=QUIET),
    )
