"""Shares in cells and bars: confused classes, and how often each method takes each place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean

import altair as alt
import numpy as np
from numpy.typing import NDArray

from pipelines.views.charts.markup import mark_of
from pipelines.views.charts.parts import (
    LABEL,
    MARK,
    Room,
    at_x,
    chart,
    data,
    label_width,
    shortened,
    text,
)
from pipelines.views.charts.theme import GRID, INK, QUIET, SIZE, SMALL, shade
from segmentation.iou import Confusion
from segmentation.pictures import row_shares

WIDTH, LETTERS, TOP = 340.0, 12, 22.0
ABSENT = "#f4f4f4"
"""The cells of a class that no test image shows."""
RANKS_WIDTH, CELL, WIDEST, RANK_LETTERS = 400.0, 24.0, 48.0, 19
LEGIBLE, DARK, GAP = 20.0, 0.45, 1.5
"""How wide a cell must be to hold its number, and from which share on that is white;
the space between cells."""


def confusion_matrix(method: str, confusion: Confusion, classes: Sequence[str]) -> alt.LayerChart:
    """Draw one method's matrix; rows of classes that no test image shows stay empty."""
    left = label_width(classes, LETTERS)
    room = Room(left, TOP, 0, left * 0.72 + 14)
    shares = row_shares(confusion)
    names = [shortened(name, LETTERS) for name in classes]
    true = _named(names, labelFontSize=SIZE, labelColor=INK)
    found = _named(names, labelAngle=-45, labelAlign="right", labelBaseline="middle")
    diagonal = zip(classes, np.diagonal(shares), strict=True)
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in diagonal if share == share)
    title = text(-left, -11, shortened(method, 40), fontWeight=600)
    mark = title.encode(description=alt.DescriptionValue(mark_of(method)))
    layers = [*_cells(shares, found, true, (WIDTH - left) / len(classes)), mark]
    label = f"{method}, found rightly: {told}"
    return chart(layers, WIDTH, TOP + WIDTH - left + room.bottom, room, label)


def rank_matrix(ranks: Mapping[str, Sequence[float]]) -> alt.LayerChart:
    """Draw the share of resamples in which each method takes each place, in percent."""
    order = sorted(ranks, key=lambda name: sum(n * share for n, share in enumerate(ranks[name])))
    shares = np.array([ranks[name] for name in order])
    left, places = label_width(order, RANK_LETTERS), shares.shape[1]
    wide = min((RANKS_WIDTH - left) / places, WIDEST)
    room = Room(left, 32, RANKS_WIDTH - left - wide * places, 2)
    heads = _named([str(n + 1) for n in range(places)], orient="top", labelAngle=0)
    rows = [
        {"mark": mark_of(name), "label": shortened(name, RANK_LETTERS), "row": n}
        for n, name in enumerate(order)
    ]
    names: alt.Chart = alt.Chart(data(rows)).mark_text()
    layers = [
        *_cells(shares, heads, None, wide),
        names.encode(x=at_x(-left), y=alt.Y("row:O"), text=LABEL, description=MARK),
        text(0, -24, "place", fontSize=SMALL, fill=QUIET),
    ]
    told = "; ".join(f"{name} is first in {100 * ranks[name][0]:.0f} %" for name in order)
    height = room.top + CELL * len(order) + room.bottom
    return chart(layers, RANKS_WIDTH, height, room, f"Ranks over resamples: {told}")


def _named(names: Sequence[str], **how: object) -> alt.Axis:
    """Return an axis whose n-th place has the n-th name."""
    return alt.Axis(title=None, labelExpr=f"{json.dumps(names)}[datum.value]", **how)  # type: ignore[arg-type]


def _cells(
    shares: NDArray[np.float64], across: alt.Axis, down: alt.Axis | None, wide: float
) -> list[alt.Chart]:
    """Return a cell a share, the darker the more, with its percent where there is room."""
    rows = [_cell(n, m, float(share), wide) for (n, m), share in np.ndenumerate(shares)]
    band = alt.Scale(paddingInner=GAP / wide, paddingOuter=0)
    base = alt.Chart(data(rows)).encode(
        x=alt.X("column:O", scale=band, axis=across), y=alt.Y("row:O", scale=band, axis=down)
    )
    numbers = base.transform_filter("datum.number").mark_text(align="center", fontSize=SMALL)
    return [
        base.mark_rect(stroke=GRID, strokeWidth=0.5).encode(fill=alt.Fill("fill:N", scale=None)),
        numbers.encode(text=alt.Text("number:N"), fill=alt.Fill("ink:N", scale=None)),
    ]


def _cell(row: int, column: int, share: float, wide: float) -> dict[str, object]:
    known, percent = share == share, f"{100 * share:.0f}"
    shown = known and percent != "0" and wide >= LEGIBLE
    return {
        "row": row,
        "column": column,
        "share": share,
        "number": percent if shown else "",
        "fill": shade(share) if known else ABSENT,
        "ink": "#ffffff" if share > DARK else INK,
    }


def rank_bars(ranks: Mapping[str, Sequence[float]], title: str) -> alt.LayerChart:
    """Draw a bar a method: in how many metrics it is 1st, 2nd, ..., with its mean rank.

    Shared places count as the better one. The methods stand in the order given.
    """
    places = range(1, len(ranks) + 1)
    counts = [
        {"method": name, "place": place, "metrics": sum(int(rank) == place for rank in mine)}
        for name, mine in ranks.items()
        for place in places
    ]
    means = [
        {"method": name, "metrics": len(mine), "mean": f"{fmean(mine):.2f}"}
        for name, mine in ranks.items()
    ]
    down = alt.Y("method:N", sort=None, axis=alt.Axis(title=None, labelLimit=400, labelColor=INK))
    across = alt.X("metrics:Q", title="number of metrics; behind them the mean rank")
    shades = [shade(1 - n / len(ranks)) for n in range(len(ranks))]
    legend = alt.Legend(offset=52, titleFontSize=SMALL, symbolStrokeWidth=0)
    color = alt.Color("place:O", scale=alt.Scale(domain=list(places), range=shades), legend=legend)
    bars = alt.Chart(data(counts)).mark_bar(stroke="#ffffff")
    numbers = alt.Chart(data(means)).mark_text(dx=6)
    told = "; ".join(f"{row['method']} {row['mean']}" for row in means)
    return alt.LayerChart(
        layer=[
            bars.encode(y=down, x=across, color=color, order=alt.Order("place:O")),
            numbers.encode(y=down, x=across, text=alt.Text("mean:N")),
        ],
        width=400,
        height=alt.Step(CELL),
        title=alt.TitleParams(title, fontSize=SIZE, anchor="start"),
        description=f"{title}; mean ranks: {told}",
    )
