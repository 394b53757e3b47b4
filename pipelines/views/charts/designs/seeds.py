"""What an experiment's design can see, and how seeds were raced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import altair as alt

from pipelines.results.rounds.runners import Runner
from pipelines.views.charts.curves import HEIGHT, ROOM, WIDTH
from pipelines.views.charts.parts import (
    DASH,
    FILL,
    KEY_LINE,
    MARK,
    SHAPE,
    STROKE,
    chart,
    data,
    legend,
    row,
    shortened,
    titles,
)
from pipelines.views.charts.theme import QUIET, Looks, looks

TICKS = (2, 3, 5, 10, 20, 50)


def power_chart(
    curves: Mapping[str, Sequence[float]], seeds: Sequence[int], wanted: float, title: str
) -> alt.LayerChart:
    """Draw the smallest difference that is seen against seeds, a line a design.

    `curves` hold a difference for each of `seeds` by what the design is called; the dashed line is
    the one that is wanted. Both axes are logarithmic.
    """
    given = looks([(name, name) for name in curves])
    rows = [
        row(name, given[name], f"{y:.2f} with {x} seeds", seeds=x, least=y)
        for name, values in curves.items()
        for x, y in zip(seeds, values, strict=True)
    ]
    ends = [wanted, *(y for values in curves.values() for y in values)]
    up = alt.Scale(type="log", domain=[0.8 * min(ends), 1.2 * max(ends)], nice=False)
    across = alt.Scale(type="log", domain=[0.95 * seeds[0], 1.05 * seeds[-1]], nice=False)
    down = alt.Axis(title="seeds of each method", values=[*TICKS], format="d", grid=False)
    side = alt.Axis(title=None, tickCount=6, format="~g")
    x, y = alt.X("seeds:Q", scale=across, axis=down), alt.Y("least:Q", scale=up, axis=side)
    base = alt.Chart(data(rows)).encode(x=x, y=y, stroke=STROKE, description=MARK)
    line = alt.Chart(data([{"least": wanted}])).mark_rule(strokeDash=[5, 4], stroke=QUIET)
    longest = max(map(len, curves))
    room = replace(ROOM, left=40, right=58 + 6.6 * longest)
    width = WIDTH + room.right - ROOM.right + 60
    key = legend(list(curves), given, width - room.left - room.right + 12, 10)
    told = "; ".join(f"{name} {values[-1]:.2f}" for name, values in curves.items())
    label = f"{title}: smallest difference seen with {seeds[-1]} seeds: {told}"
    head = titles(room, width, shortened(title, 80))
    return chart(
        [
            line.encode(y=alt.Y("least:Q", scale=up)),
            base.mark_line().encode(strokeDash=DASH, detail=alt.Detail("method:N")),
            base.mark_point(size=50).encode(shape=SHAPE, fill=FILL),
            *head,
            *key,
        ],
        width,
        max(HEIGHT, room.top + room.bottom + KEY_LINE * len(curves)),
        room,
        label,
    )


def race_chart(
    runners: Sequence[Runner], title: str, looks: Looks, key: bool = False
) -> alt.LayerChart:
    """Draw each method's mean over its seeds from round to round; a hollow end has stopped.

    With `key` the picture has a legend of its own.
    """
    rows = [
        row(one.method, looks[one.method], f"{y:.1f} after {x} seeds", seeds=x, mean=y)
        for one in runners
        for x, y in zip(one.seeds, one.means, strict=True)
    ]
    lasts = [
        row(
            one.method,
            looks[one.method],
            _end(one),
            seeds=one.seeds[-1],
            mean=one.means[-1],
            inside="white" if one.stopped is not None else looks[one.method].colour,
        )
        for one in runners
    ]
    ticks = sorted({x for one in runners for x in one.seeds})
    across = alt.Scale(domain=[ticks[0] - 0.3, ticks[-1] + 0.3], nice=False, zero=False)
    down = alt.Axis(title="seeds", values=ticks, format="d", grid=False)
    means = [y for one in runners for y in one.means]
    pad = 0.08 * (max(means) - min(means)) or 1.0
    up = alt.Scale(domain=[min(means) - pad, max(means) + pad], nice=False, zero=False)
    x = alt.X("seeds:Q", scale=across, axis=down)
    y = alt.Y("mean:Q", scale=up, axis=alt.Axis(title=None, tickCount=5))
    lines = (
        alt.Chart(data(rows))
        .mark_line()
        .encode(
            x=x,
            y=y,
            stroke=STROKE,
            strokeDash=DASH,
            detail=alt.Detail("method:N"),
            description=MARK,
        )
    )
    inside = alt.Fill("inside:N", scale=None)
    ends = (
        alt.Chart(data(lasts))
        .mark_point(size=80)
        .encode(x=x, y=y, stroke=STROKE, shape=SHAPE, fill=inside, description=MARK)
    )
    told = "; ".join(f"{one.method} {_end(one)}" for one in runners)
    names = [one.method for one in runners] if key else []
    room = replace(ROOM, right=190) if key else ROOM
    width = WIDTH + room.right - ROOM.right
    head = titles(room, width, shortened(title, 40), "mean so far")
    beside = legend(names, looks, width - room.left - room.right + 12, 10)
    height = max(HEIGHT, room.top + KEY_LINE * len(names))
    return chart([lines, ends, *head, *beside], width, height, room, f"{title}: {told}")


def _end(one: Runner) -> str:
    if one.stopped is not None:
        return f"{one.means[-1]:.1f}, stopped after {one.stopped} seeds"
    return f"{one.means[-1]:.1f} after {one.seeds[-1]} seeds"
