"""Shares in cells and bars: confused classes, and how often each method takes each place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import altair as alt
import numpy as np

from pipelines.views.charts.markup import mark_of
from pipelines.views.charts.parts import (
    ACROSS,
    DOWN,
    LABEL,
    MARK,
    Room,
    at_x,
    at_y,
    chart,
    data,
    label_width,
    shortened,
    text,
)
from pipelines.views.charts.theme import GRID, INK, QUIET, SMALL, shade
from segmentation.iou import Confusion
from segmentation.pictures import row_shares

WIDTH, LETTERS, TOP = 340.0, 12, 22.0
ABSENT = "#f4f4f4"
"""The cells of a class that no test image shows."""
RANKS_WIDTH, CELL, WIDEST, RANK_LETTERS = 400.0, 24.0, 48.0, 19
LEGIBLE, DARK = 20.0, 0.45
"""How wide a cell must be to hold its number, and from which share on that is white."""


def confusion_matrix(method: str, confusion: Confusion, classes: Sequence[str]) -> alt.LayerChart:
    """Draw one method's matrix; rows of classes that no test image shows stay empty."""
    left = label_width(classes, LETTERS)
    side = (WIDTH - left) / len(classes)
    shares = row_shares(confusion)
    cells = [
        _cell(float(share), side * place[1], side * place[0], side - 1.5, side - 1.5)
        for place, share in np.ndenumerate(shares)
    ]
    names = [
        {"name": shortened(name, LETTERS), "middle": side * (n + 0.5)}
        for n, name in enumerate(classes)
    ]
    diagonal = zip(classes, np.diagonal(shares), strict=True)
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in diagonal if share == share)
    title = text(-left, -11, shortened(method, 40), fontWeight=600)
    mark = title.encode(description=alt.DescriptionValue(mark_of(method)))
    room = Room(left, TOP, 0, left * 0.72 + 14)
    height = TOP + side * len(classes) + room.bottom
    layers = [*_cells(cells), *_class_names(names, side * len(classes)), mark]
    return chart(layers, WIDTH, height, room, f"{method}, found rightly: {told}")


def _class_names(names: Sequence[Mapping[str, object]], inside: float) -> list[alt.Chart]:
    base = alt.Chart(data(names))
    true = base.mark_text(align="right")
    found = base.mark_text(align="right", angle=315, fontSize=SMALL, fill=QUIET)
    middle = {"x": alt.X("middle:Q", scale=None), "y": alt.Y("middle:Q", scale=None)}
    return [
        true.encode(x=at_x(-6), y=middle["y"], text=alt.Text("name:N")),
        found.encode(x=middle["x"], y=at_y(inside + 8), text=alt.Text("name:N")),
    ]


def rank_matrix(ranks: Mapping[str, Sequence[float]]) -> alt.LayerChart:
    """Draw the share of resamples in which each method takes each place, in percent."""
    order = sorted(ranks, key=lambda name: sum(n * share for n, share in enumerate(ranks[name])))
    places = max(len(shares) for shares in ranks.values())
    left = label_width(order, RANK_LETTERS)
    wide = min((RANKS_WIDTH - left) / places, WIDEST)
    cells = [
        _cell(share, wide * n, CELL * down, wide - 2, CELL - 2)
        for down, name in enumerate(order)
        for n, share in enumerate(ranks[name])
    ]
    heads = [{"name": str(n + 1), "x": wide * (n + 0.5)} for n in range(places)]
    head = alt.Chart(data(heads)).mark_text(align="center", fontSize=SMALL, fill=QUIET)
    numbers = head.encode(x=ACROSS, y=at_y(-8), text=alt.Text("name:N"))
    title = text(0, -22, "place", fontSize=SMALL, fill=QUIET)
    told = "; ".join(f"{name} is first in {100 * ranks[name][0]:.0f} %" for name in order)
    room = Room(left, 32, RANKS_WIDTH - left - wide * places, 2)
    height = room.top + CELL * len(order) + room.bottom
    layers = [*_cells(cells), _row_names(order, left), numbers, title]
    return chart(layers, RANKS_WIDTH, height, room, f"Ranks over resamples: {told}")


def rank_bars(ranks: Mapping[str, Sequence[float]], title: str) -> alt.LayerChart:
    """Draw a bar a method: in how many metrics it is 1st, 2nd, ..., with its mean rank.

    Shared places count as the better one. The methods stand in the order given.
    """
    order = list(ranks)
    left = label_width(order, RANK_LETTERS)
    room = Room(left, 40, 42, 8)
    inside = 560.0 - room.left - room.right
    metrics = max(len(places) for places in ranks.values())
    bars = [
        bar
        for n, name in enumerate(order)
        for bar in _bar(ranks[name], n, inside / metrics, len(order))
    ]
    means = [
        {"mean": f"{fmean(places):.2f}", "y": CELL * (n + 0.5) - 1}
        for n, places in enumerate(ranks.values())
    ]
    right = alt.Chart(data(means)).mark_text(align="right", fontSize=SMALL)
    mean = right.encode(x=at_x(inside + room.right), y=DOWN, text=alt.Text("mean:N"))
    quiet = text(
        -left, -12, "number of metrics by place; mean rank at the right", fontSize=SMALL, fill=QUIET
    )
    heading = text(-left, -29, shortened(title, 90), fontWeight=600)
    height = room.top + CELL * len(order) + room.bottom
    layers = [*_cells(bars), _row_names(order, left), mean, heading, quiet]
    told = "; ".join(f"{name} {fmean(places):.2f}" for name, places in ranks.items())
    return chart(layers, 560.0, height, room, f"{title}; mean ranks: {told}")


def _bar(ranks: Sequence[float], row: int, unit: float, places: int) -> list[dict[str, object]]:
    """Return a bar's parts, each with the place that it stands for; darker is better."""
    parts: list[dict[str, object]] = []
    left = 0.0
    for place in range(1, places + 1):
        metrics = sum(int(rank) == place for rank in ranks)
        wide = unit * metrics
        if metrics:
            part = _cell(1 - (place - 1) / max(places - 1, 1), left, CELL * row, wide - 1, CELL - 3)
            number = str(place) if wide >= LEGIBLE else ""
            parts.append({**part, "number": number, "place": place, "metrics": metrics})
            left += wide
    return parts


def _cell(share: float, x: float, y: float, wide: float, high: float) -> dict[str, object]:
    """Return a rectangle whose shade, and whose number if there is room, say a share."""
    known, percent = share == share, f"{100 * share:.0f}"
    number = percent if known and percent != "0" and wide >= LEGIBLE - 2 else ""
    return {
        "x": x, "x2": x + wide, "y": y, "y2": y + high, "middle": y + high / 2 + 0.5,
        "centre": x + wide / 2, "share": share, "fill": shade(share) if known else ABSENT,
        "number": number, "ink": "#ffffff" if share > DARK else INK,
    }  # fmt: skip


def _cells(cells: Sequence[Mapping[str, object]]) -> list[alt.Chart]:
    base = alt.Chart(data(cells))
    ink, fill = alt.Fill("ink:N", scale=None), alt.Fill("fill:N", scale=None)
    centre, middle = alt.X("centre:Q", scale=None), alt.Y("middle:Q", scale=None)
    numbers = base.transform_filter("datum.number").mark_text(align="center", fontSize=SMALL)
    return [
        base.mark_rect(stroke=GRID, strokeWidth=0.5, opacity=1).encode(
            x=ACROSS, x2=alt.X2("x2:Q"), y=DOWN, y2=alt.Y2("y2:Q"), fill=fill
        ),
        numbers.encode(x=centre, y=middle, text=alt.Text("number:N"), fill=ink),
    ]


def _row_names(methods: Iterable[str], left: float) -> alt.Chart:
    rows = [
        {"mark": mark_of(name), "label": shortened(name, RANK_LETTERS), "y": CELL * (n + 0.5) - 1}
        for n, name in enumerate(methods)
    ]
    names: alt.Chart = alt.Chart(data(rows)).mark_text()
    y = DOWN
    return names.encode(x=at_x(-left), y=y, text=LABEL, description=MARK)
