"""What each method loses on disturbed test pairs: a panel a kind of disturbance."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt

from fusion.perturb import KINDS, Kind
from pipelines.results.robustness import Curve
from pipelines.specs.perturbation import WORDS
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
    titles,
)
from pipelines.views.charts.theme import Looks

APART = 0.6
"""Of the distance between two kinds of loss, where methods stand side by side."""


def kinds_of(curves: Sequence[Curve]) -> list[Kind]:
    """Return the kinds of disturbance that any curve has, in the usual order."""
    return [kind for kind in KINDS if any(curve.kind == kind for curve in curves)]


def panel(kind: Kind, curves: Sequence[Curve], looks: Looks) -> alt.LayerChart:
    """Draw one kind of disturbance, a line a method, on the axis that all of `curves` share.

    Upright lines are one standard deviation over seeds; "lost" has no strength and gets points.
    """
    mine = [curve for curve in curves if curve.kind == kind]
    label = f"{_title(kind)}: {'; '.join(f'{c.method} {_told(c)}' for c in mine)}"
    return chart(_layers(kind, curves, looks), WIDTH, HEIGHT, ROOM, label)


def picture(curves: Sequence[Curve], looks: Looks, title: str) -> alt.VConcatChart:
    """Draw all kinds of one task's disturbances with one legend: a picture of its own."""
    kinds = kinds_of(curves)
    inside = WIDTH - ROOM.left - ROOM.right, HEIGHT - ROOM.top - ROOM.bottom
    panels = [
        alt.LayerChart(layer=_layers(kind, curves, looks), width=inside[0], height=inside[1])
        for kind in kinds
    ]
    across = min(3, len(panels))
    methods = list(dict.fromkeys(curve.method for curve in curves))
    key = legend(methods, looks, 0, KEY_LINE / 2, 2 * across, 170)
    high = KEY_LINE * -(-len(methods) // (2 * across))
    below = alt.LayerChart(layer=key, width=WIDTH * across - ROOM.left, height=high)
    told = ", ".join(WORDS[kind] for kind in kinds)
    return alt.VConcatChart(
        vconcat=[alt.ConcatChart(concat=panels, columns=across, spacing=24), below],
        title=alt.TitleParams(title, fontSize=14, anchor="start", offset=14),
        description=f"{title}: {told}",
    )


def _layers(kind: Kind, curves: Sequence[Curve], looks: Looks) -> list[alt.Chart]:
    mine = [curve for curve in curves if curve.kind == kind]
    rows = [r for n, c in enumerate(mine) for r in _rows(c, (n + 0.5) / len(mine) - 0.5, looks)]
    base = alt.Chart(data(rows)).encode(x=_across(mine[0]), stroke=STROKE, description=MARK)
    scores = [value for curve in curves for value in curve.values if value is not None]
    up = alt.Scale(domain=[min([0.0, *scores]), max([1.0, *scores]) * 1.05], nice=False)
    axis = alt.Y("score:Q", scale=up, axis=alt.Axis(title=None, tickCount=5))
    lines = base.mark_line().encode(y=axis, strokeDash=DASH, detail=alt.Detail("method:N"))
    return [
        *([] if kind == "lost" else [lines]),
        base.mark_rule().encode(y=alt.Y("low:Q", scale=up), y2=alt.Y2("high:Q")),
        base.mark_point(size=70).encode(y=axis, fill=FILL, shape=SHAPE),
        *titles(ROOM, WIDTH, _title(kind), "%"),
    ]


def _rows(curve: Curve, aside: float, looks: Looks) -> list[dict[str, object]]:
    shift = APART * aside if curve.kind == "lost" else 0.0
    known = zip(_places(curve), curve.labels, curve.values, curve.sd, strict=True)
    rows = []
    for place, label, value, sd in known:
        words = f"{label} {value:.1f}" if value is not None else ""
        low, high = (None, None) if value is None or sd is None else (value - sd, value + sd)
        given = row(curve.method, looks[curve.method], words, place=place + shift, score=value)
        rows.append({**given, "low": low, "high": high})
    return rows


def _across(curve: Curve) -> alt.X:
    """Return the axis of strengths, which are named where they have no numbers."""
    places, numbers = _places(curve), isinstance(curve.strengths[0], float)
    names = [f"{s:g}" for s in places] if numbers else list(curve.labels)
    label = f"{json.dumps(names)}[indexof({json.dumps(places)}, datum.value)]"
    pad = 0.04 * (places[-1] - places[0]) if numbers else 0.5
    scale = alt.Scale(domain=[places[0] - pad, places[-1] + pad], nice=False, zero=False)
    axis = alt.Axis(title=curve.unit or None, values=places, labelExpr=label, grid=False)
    return alt.X("place:Q", scale=scale, axis=axis)


def _places(curve: Curve) -> list[float]:
    """Return where strengths stand: at their values, or one after another if they have none."""
    return [s if isinstance(s, float) else float(n) for n, s in enumerate(curve.strengths)]


def _title(kind: Kind) -> str:
    return WORDS[kind].capitalize()


def _told(curve: Curve) -> str:
    return ", ".join("-" if value is None else f"{value:.1f}" for value in curve.values)
