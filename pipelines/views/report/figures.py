"""The figures of a report, drawn: which there are, and of what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.results.conclusions.evidence import Difference, Evidence
from pipelines.results.values import Line, Table
from pipelines.views.charts import theme
from pipelines.views.charts.classes import class_bars
from pipelines.views.charts.curves import loss_panels, precision_recall_panel
from pipelines.views.charts.designs.seeds import race_chart
from pipelines.views.charts.differences import forest
from pipelines.views.charts.matrices import confusion_matrix, rank_matrix
from pipelines.views.charts.printed import printed_charts
from pipelines.views.charts.robustness import kinds_of, panel
from pipelines.views.charts.speed import Point, pareto, scatter
from pipelines.views.charts.theme import Chart, Looks
from pipelines.views.report.model import Report, Robustness, TaskReport
from pipelines.views.report.sentences import heading, headline_value, measured_on

Named = dict[str, Markup]
"""Figures by what they show: a method, a class."""


def drawn(chart: Chart) -> Markup:
    """Return a chart as markup of the page: all text in it is escaped."""
    return Markup(theme.svg(chart))


def swatch(method: str, looks: Looks) -> Markup:
    """Return a method's colour, dashes and marker, as small as a letter."""
    return Markup(theme.swatch(looks[method]))


def differences(evidence: Evidence, looks: Looks) -> list[tuple[str, Markup]]:
    """Return column and figure: of the headline, or of all columns where it has none."""
    defined = [d for d in evidence.differences if math.isfinite(d.mean + d.low + d.high)]
    known = [d for d in defined if d.column == evidence.headline]
    groups: dict[tuple[str, str], list[Difference]] = {}
    for one in known or defined:
        if one.method != one.reference:
            groups.setdefault((one.column, one.reference), []).append(one)
    table = evidence.table
    return [
        (column, drawn(forest(group, looks, table.digits, column in table.lower)))
        for (column, _), group in groups.items()
    ]


def by_column(table: Table, looks: Looks) -> list[Markup]:
    """Return bars for each column in which a method has a value."""
    charts = (class_bars(table, column, looks) for column in range(len(table.columns)))
    return [drawn(bars) for bars in charts if bars is not None]


def printed(evidence: Evidence, looks: Looks) -> list[Markup]:
    """Return our numbers against the paper's, where it prints any."""
    charts = printed_charts(evidence.table, looks, evidence.task.per_image)
    return [drawn(chart) for chart in charts.values()]


def raced(part: TaskReport, looks: Looks) -> Markup | None:
    """Return how seeds were raced, where they were."""
    if not part.runners:
        return None
    return drawn(race_chart(part.runners, f"{part.evidence.headline} in percent", looks))


def places(evidence: Evidence) -> Markup:
    """Return how often each method takes each place."""
    return drawn(rank_matrix(evidence.ranks))


def precision_recall(part: TaskReport, looks: Looks) -> list[Markup]:
    """Return a figure for each class."""
    return [drawn(precision_recall_panel(n, of, looks)) for n, of in part.curves.items()]


def confusions(part: TaskReport) -> Named:
    """Return each method's confusion matrix."""
    return {
        method: drawn(confusion_matrix(method, matrix, part.classes))
        for method, matrix in part.confusions.items()
    }


def disturbed(part: Robustness, looks: Looks) -> list[Markup]:
    """Return a panel for each kind of disturbance."""
    return [drawn(panel(kind, part.curves, looks)) for kind in kinds_of(part.curves)]


def losses(lines: Sequence[Line], looks: Looks) -> Named:
    """Return each method's training curves on common axes."""
    return {method: drawn(chart) for method, chart in loss_panels(lines, looks).items()}


@dataclass(frozen=True)
class SpeedFigure:
    """One task's speed against accuracy; `front` are the methods that nothing beats in both."""

    title: str
    measured: str
    lower: bool
    front: list[str]
    drawn: Markup


def speeds(report: Report, looks: Looks) -> list[SpeedFigure]:
    """Return a figure for each task in which a method has both a speed and a score."""
    known = [(part, points) for part in report.tasks if (points := _points(part))]
    return [_speed(report, part, points, looks) for part, points in known]


def _speed(report: Report, part: TaskReport, points: Sequence[Point], looks: Looks) -> SpeedFigure:
    evidence = part.evidence
    lower = evidence.headline in evidence.table.lower
    return SpeedFigure(
        heading(report, evidence.table),
        measured_on(part.speeds),
        lower,
        [point.method for point in pareto(points, lower)],
        drawn(scatter(points, evidence.headline, looks, lower)),
    )


def _points(part: TaskReport) -> list[Point]:
    found = []
    for one in part.speeds:
        value = headline_value(part.evidence, one.method)
        if value is not None and one.seconds > 0:
            found.append(Point(one.method, one.seconds, value.mean, value.ci95))
    return found
