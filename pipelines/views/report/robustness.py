"""What each method loses on disturbed test pairs: a panel per kind, and the table behind it."""

from __future__ import annotations

from collections.abc import Sequence

from fusion.perturb import KINDS, Kind
from pipelines.results.agreement import Evidence
from pipelines.results.robustness import CLEAN, HEADLINES, Curve
from pipelines.specs.perturbation import WORDS
from pipelines.views.report.curves import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, frame
from pipelines.views.report.html import Child, Html, tag
from pipelines.views.report.model import Report, Robustness
from pipelines.views.report.palette import Looks
from pipelines.views.report.section import Section
from pipelines.views.report.svg import Scale, figure, line, marker, polyline
from pipelines.views.report.table import legend, table

TITLE = "When the pairs are disturbed"
READ = (
    "{headline} in percent against the strength of the disturbance; at the left the clean pairs. "
    "The networks never saw a disturbed pair. A flat line is a method that does not mind, or one "
    "that does not look at the disturbed image. {spread}Points are missing where they are not "
    "finished."
)
SPREAD = "Upright lines: one standard deviation over seeds. "


def robustness(report: Report, looks: Looks) -> list[Section]:
    """Return curves and table of every task that was disturbed; nothing where none was."""
    body: list[Child] = []
    for one in report.robustness:
        headline = HEADLINES[one.table.task][0]
        several = any(sd is not None for curve in one.curves for sd in curve.sd)
        words = READ.format(headline=headline, spread=SPREAD if several else "")
        panels = [panel(kind, one.curves, looks) for kind in _kinds(one)]
        methods = list(dict.fromkeys(curve.method for curve in one.curves))
        bare = Evidence(one.table, CLEAN, None, (), (), {}, ())
        body += [
            tag("h3", _heading(one.table.title.removeprefix(f"{report.name}: "))),
            tag("p", words, class_="caption"),
            legend(methods, looks),
            tag("div", *panels, class_="grid"),
            table(bare, looks),
        ]
    return [Section("robustness", TITLE, body)] if body else []


def _heading(title: str) -> str:
    return title[:1].upper() + title[1:]


def _kinds(one: Robustness) -> list[Kind]:
    return [kind for kind in KINDS if any(curve.kind == kind for curve in one.curves)]


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
