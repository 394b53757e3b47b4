"""Our numbers against the paper's printed ones: one point a cell, with our interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from pipelines.results.values import Table, Value
from pipelines.views.charts.parts import (
    FILL,
    KEY_LINE,
    MARK,
    SHAPE,
    STROKE,
    Room,
    chart,
    data,
    legend,
    row,
    titles,
)
from pipelines.views.charts.theme import GRID, QUIET, Looks

WIDTH, INSIDE, COLUMNS = 400.0, 290.0, 3
LEFT, TOP, RIGHT, AXIS = 50.0, 26.0, 12.0, 48.0


@dataclass(frozen=True)
class Cell:
    """One cell of a table that both have: ours, and the paper's number."""

    method: str
    column: str
    ours: Value
    paper: float


def printed_chart(table: Table, looks: Looks, columns: Sequence[str] = ()) -> alt.LayerChart | None:
    """Draw ours (up) against printed (across) in `columns`, by default in all of the table.

    On the line both are equal. None where the paper prints nothing for a finished row of ours.
    """
    cells = [cell for cell in both(table) if cell.column in (columns or table.columns)]
    if not cells:
        return None
    ends = [end for one in cells for end in (one.paper, one.ours.mean, *(one.ours.ci95 or ()))]
    pad = 0.04 * (max(ends) - min(ends)) or 1.0
    domain = [min(ends) - pad, max(ends) + pad]
    rows = [_row(one, looks, table.digits) for one in cells]
    title = ", ".join(columns) if columns else "Ours against the paper"
    far = max(cells, key=lambda one: abs(one.ours.mean - one.paper))
    told = (
        f"{title}: {len(cells)} cells, ours against printed; the farthest is {far.method}, "
        f"{far.column}: {far.ours.mean:.{table.digits}f}, paper {far.paper:.{table.digits}f}"
    )
    methods = list(dict.fromkeys(one.method for one in cells))
    names = KEY_LINE * -(-len(methods) // COLUMNS)
    room = Room(LEFT, TOP, RIGHT, AXIS + names)
    layers = [
        *titles(room, WIDTH, title, "line: equal"),
        *_marks(rows, domain),
        *legend(methods, looks, -LEFT, INSIDE + AXIS, COLUMNS, WIDTH / COLUMNS),
    ]
    return chart(layers, WIDTH, TOP + INSIDE + room.bottom, room, told)


def printed_charts(table: Table, looks: Looks, per_image: bool) -> dict[str, alt.LayerChart]:
    """Return one chart of a table of shares, or one by column where each has its own unit."""
    groups = table.columns if per_image else ("",)
    charts = {name: printed_chart(table, looks, (name,) if name else ()) for name in groups}
    return {name: drawn for name, drawn in charts.items() if drawn is not None}


def both(table: Table) -> list[Cell]:
    """Return the cells that both have; the paper's row stands directly beneath ours."""
    return [
        Cell(ours.label, column, mine, printed.mean)
        for ours, paper in zip(table.rows, table.rows[1:], strict=False)
        if (ours.kind, paper.kind) == ("ours", "paper")
        for column, mine, printed in zip(table.columns, ours.values, paper.values, strict=True)
        if mine is not None and printed is not None
    ]


def _row(cell: Cell, looks: Looks, digits: int) -> dict[str, object]:
    low, high = cell.ours.ci95 or (None, None)
    words = f"{cell.column} {cell.ours.mean:.{digits}f}, paper {cell.paper:.{digits}f}"
    return row(
        cell.method, looks[cell.method], words,
        ours=cell.ours.mean, paper=cell.paper, low=low, high=high,
    )  # fmt: skip


def _marks(rows: Sequence[dict[str, object]], domain: Sequence[float]) -> list[alt.Chart]:
    scale = alt.Scale(domain=list(domain), nice=False, zero=False)
    across = alt.X("paper:Q", scale=scale, axis=alt.Axis(title="the paper's number", tickCount=5))
    up = alt.Y("ours:Q", scale=scale, axis=alt.Axis(title="ours", tickCount=5, gridColor=GRID))
    equal = alt.Chart(data([{"paper": end, "ours": end} for end in domain]))
    base = alt.Chart(data(rows)).encode(x=across, description=MARK)
    known = base.transform_filter("isValid(datum.low)")
    return [
        equal.mark_line(stroke=QUIET, strokeWidth=1.2).encode(x=across, y=up),
        known.mark_rule(opacity=0.5).encode(
            y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q"), stroke=STROKE
        ),
        base.mark_point(size=46, opacity=0.85).encode(y=up, shape=SHAPE, fill=FILL, stroke=STROKE),
    ]
