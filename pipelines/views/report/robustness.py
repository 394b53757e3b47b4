"""What each method loses on disturbed test pairs: a panel per kind."""

from __future__ import annotations

from collections.abc import Sequence

from fusion.perturb import Kind
from pipelines.results.robustness import Curve
from pipelines.specs.perturbation import WORDS
from pipelines.views.report.curves import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, frame
from pipelines.views.report.html import Html
from pipelines.views.report.palette import Looks
from pipelines.views.report.svg import Scale, figure, line, marker, polyline


def panel(kind: Kind, curves: Sequence[Curve], looks: Looks) -> Html:
    """Draw one kind of disturbance, a line a method, on the axes that all kinds of a task share."""
    mine = [curve for curve in curves if curve.kind == kind]
    scores = [value for curve in curves for value in curve.values if value is not None]
    up = Scale((min([0.0, *scores]), max([1.0, *scores]) * 1.05), (BOTTOM, TOP))
    places = _places(mine[0])
    across = Scale((places[0], places[-1]), (LEFT + 12, WIDTH - 24))
    drawn = [part for curve in mine for part in _curve(curve, across, up, looks)]
    told = "; ".join(f"{c.method} {_told(c)}" for c in mine)
    named = WORDS[kind].capitalize()
    marks = list(zip(places, _marks(mine[0]), strict=True))
    axes = frame(across, up, named, mine[0].unit, "%", marks)
    return figure(WIDTH, HEIGHT, f"{named}: {told}", *axes, *drawn)


def _places(curve: Curve) -> list[float]:
    """Return where strengths stand: at their values, or one after another if they have none."""
    return [s if isinstance(s, float) else float(n) for n, s in enumerate(curve.strengths)]


def _marks(curve: Curve) -> list[str]:
    return [f"{s:g}" if isinstance(s, float) else name for s, name in _named(curve)]


def _named(curve: Curve) -> list[tuple[float | str, str]]:
    return list(zip(curve.strengths, curve.labels, strict=True))


def _told(curve: Curve) -> str:
    known = ("-" if value is None else f"{value:.1f}" for value in curve.values)
    return ", ".join(known)


def _curve(curve: Curve, across: Scale, up: Scale, looks: Looks) -> list[Html]:
    look = looks[curve.method]
    x = [across(place) for place in _places(curve)]
    y = [float("nan") if value is None else up(value) for value in curve.values]
    drawn: list[Html] = []
    if curve.kind != "lost":
        dash = look.dash or None
        drawn.append(polyline(x, y, stroke=look.colour, stroke_width=2.0, stroke_dasharray=dash))
    for place, value, sd in zip(x, curve.values, curve.sd, strict=True):
        if value is None:
            continue
        if sd is not None:
            ends = up(value - sd), up(value + sd)
            drawn.append(line(place, ends[0], place, ends[1], stroke=look.colour))
        drawn.append(marker(place, up(value), look))
    return drawn
