"""Bars per class with their intervals, and how often each method takes each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.results.values import Row, Table, Value
from pipelines.views.report.html import Html, tag
from pipelines.views.report.palette import Look, Looks, shade
from pipelines.views.report.svg import (
    GRID,
    INK,
    QUIET,
    SMALL,
    How,
    Scale,
    figure,
    label_width,
    line,
    rect,
    short_number,
    shortened,
    text,
    ticks,
)

WIDTH, ROW, HEAD, NUMBER = 340.0, 19.0, 24.0, 40.0
Bar = tuple[str, Value, "float | None"]
"""A method, its value, and the paper's."""


def class_bars(table: Table, column: int, looks: Looks) -> Html | None:
    """Draw one column of a table as bars from zero, with intervals and the paper's values.

    None where no method has a value, as of a class that the test images do not show.
    """
    bars = _bars(table, column)
    if not bars:
        return None
    names = label_width([label for label, _, _ in bars], 18)
    ends = [end for _, value, paper in bars for end in (value.mean, *_interval(value), paper or 0)]
    scale = Scale((min(0.0, *ends), max(ends) or 1.0), (names, WIDTH - NUMBER))
    bottom = HEAD + ROW * len(bars) + 2
    drawn = [
        _bar(bar, HEAD + ROW * n, scale, looks[bar[0]], table.digits) for n, bar in enumerate(bars)
    ]
    name = table.columns[column]
    told = ", ".join(f"{label} {value.mean:.{table.digits}f}" for label, value, _ in bars)
    title = text(0, 13, name, font_weight=600)
    axis = _axis(scale, bottom)
    return figure(WIDTH, bottom + 20, f"{name}: {told}", title, axis, *drawn)


def _bars(table: Table, column: int) -> list[Bar]:
    found: list[Bar] = []
    for place, row in enumerate(table.rows):
        value = row.values[column]
        if row.kind == "ours" and value is not None:
            found.append((row.label, value, _printed(table.rows, place, column)))
    return found


def _printed(rows: Sequence[Row], place: int, column: int) -> float | None:
    """Return the paper's value of the row at `place`, which stands directly beneath ours."""
    below = rows[place + 1] if place + 1 < len(rows) else None
    value = below.values[column] if below is not None and below.kind == "paper" else None
    return value.mean if value is not None else None


def _interval(value: Value) -> tuple[float, float]:
    return value.ci95 or (value.mean, value.mean)


def _axis(scale: Scale, bottom: float) -> list[Html]:
    how: How = {"font_size": SMALL, "fill": QUIET, "text_anchor": "middle"}
    return [
        tag(
            "g",
            line(scale(value), HEAD, scale(value), bottom),
            text(scale(value), bottom + 13, short_number(value), **how),
        )
        for value in ticks(*scale.values, 5)
    ]


def _bar(bar: Bar, top: float, scale: Scale, look: Look, digits: int) -> Html:
    label, value, paper = bar
    middle, zero, end = top + ROW / 2, scale(0), scale(value.mean)
    low, high = map(scale, _interval(value))
    whisker = line(low, middle, high, middle, stroke=INK, stroke_width=1.6)
    printed = f"M{scale(paper):.1f} {middle - 5:.1f}l5 5l-5 5l-5-5Z" if paper is not None else None
    shown = tag("path", d=printed, fill="#ffffff", stroke=INK) if printed else None
    return tag(
        "g",
        text(0, middle + 4, shortened(label, 18)),
        rect(min(zero, end), top + 3, abs(end - zero), ROW - 6, fill=look.colour, opacity=0.8),
        whisker if value.ci95 else None,
        shown,
        text(WIDTH, middle + 4, f"{value.mean:.{digits}f}", font_size=SMALL, text_anchor="end"),
    )


RANKS_WIDTH, CELL = 400.0, 24.0


def rank_matrix(ranks: Mapping[str, Sequence[float]]) -> Html:
    """Draw the share of resamples in which each method takes each place, in percent."""
    order = sorted(ranks, key=lambda name: sum(n * share for n, share in enumerate(ranks[name])))
    places = max(len(shares) for shares in ranks.values())
    names = label_width(order)
    wide = min((RANKS_WIDTH - names) / places, 48.0)
    heads = [
        text(names + wide * (n + 0.5), 26, str(n + 1), font_size=SMALL, text_anchor="middle")
        for n in range(places)
    ]
    rows = [_places(name, ranks[name], 32 + CELL * n, names, wide) for n, name in enumerate(order)]
    title = text(names, 11, "place", font_size=SMALL, fill=QUIET)
    told = "; ".join(f"{name} is first in {100 * ranks[name][0]:.0f} %" for name in order)
    height = 34 + CELL * len(order)
    return figure(RANKS_WIDTH, height, f"Ranks over resamples: {told}", title, *heads, *rows)


def _places(name: str, shares: Sequence[float], top: float, left: float, wide: float) -> Html:
    cells = []
    for n, share in enumerate(shares):
        x, percent = left + wide * n, f"{100 * share:.0f}"
        ink = "#ffffff" if share > 0.45 else INK
        cells.append(
            rect(x, top, wide - 2, CELL - 2, fill=shade(share), stroke=GRID, stroke_width=0.5)
        )
        if percent != "0" and wide >= 20:
            how: How = {"font_size": SMALL, "fill": ink, "text_anchor": "middle"}
            cells.append(text(x + wide / 2 - 1, top + CELL / 2 + 3, percent, **how))
    return tag("g", text(0, top + CELL / 2 + 3, shortened(name, 19)), *cells)
