"""The sections of the page in their order; each is a function of a report and of the looks.

A further section is one such function at its place in `SECTIONS`, and a field of `Report` that
`collect` fills. A section that has nothing to show says why, or returns nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.results.agreement import Agreement
from pipelines.results.evidence import listed
from pipelines.views.report.curves import loss_figures
from pipelines.views.report.gallery import gallery
from pipelines.views.report.html import Child, Html, tag
from pipelines.views.report.model import Report, Speed, TaskReport
from pipelines.views.report.palette import Looks
from pipelines.views.report.provenance import provenance
from pipelines.views.report.results import results
from pipelines.views.report.robustness import robustness
from pipelines.views.report.scatter import Point, pareto, scatter
from pipelines.views.report.section import Builder, Section
from pipelines.views.report.sentences import heading, headline_value

Body = list[Child]


def tasks(report: Report, looks: Looks) -> list[Section]:
    """Return a section for each table."""
    return [
        Section(p.evidence.table.name, heading(report, p.evidence), results(p, looks))
        for p in report.tasks
    ]


def examples(report: Report, looks: Looks) -> list[Section]:
    """Return the images on which methods differ most, by task."""
    body: Body = []
    for part in report.tasks:
        if part.evidence.table.task == "scoring":
            continue
        body.append(tag("h3", heading(report, part.evidence)))
        few = "None: that takes two finished methods that differ on a test image."
        body += gallery(part) if part.strips else [tag("p", few)]
    return [Section("images", "Where the methods differ most", body)] if body else []


SPEEDS = "Speed and accuracy"
SPEED = (
    "The dashed steps, the front, join the methods that no other beats in both speed and score. "
    "Seconds are of the stage that fused the data set, divided by its pairs: reading both images, "
    "fusing and writing one are included, training is not. Other work on the machine at that time "
    "is in them, too, so look at orders of magnitude."
)


def speed(report: Report, looks: Looks) -> list[Section]:
    """Return speed against accuracy for each task, with the same words for all."""
    known = [(part, points) for part in report.tasks if (points := _points(part))]
    if not known:
        return [Section("speed", SPEEDS, [tag("p", "The store holds no finished fusing stage.")])]
    words = [SPEED, *dict.fromkeys(_where(part.speeds) for part, _ in known)]
    figures = [_speed(report, part, points, looks) for part, points in known]
    body: Body = [tag("p", " ".join(words), class_="caption"), tag("div", *figures, class_="pair")]
    return [Section("speed", SPEEDS, body)]


def _speed(report: Report, part: TaskReport, points: Sequence[Point], looks: Looks) -> Html:
    evidence = part.evidence
    lower = evidence.headline in evidence.table.lower
    front = listed([point.method for point in pareto(points, lower)])
    drawn = scatter(points, evidence.headline, looks, lower)
    better = "Lower is better. " if lower else ""
    words = f"{heading(report, evidence)}. {better}On the front: {front}."
    return tag("figure", drawn, tag("figcaption", words))


def _points(part: TaskReport) -> list[Point]:
    found = []
    for one in part.speeds:
        value = headline_value(part.evidence, one.method)
        if value is not None and one.seconds > 0:
            found.append(Point(one.method, one.seconds, value.mean, value.ci95))
    return found


def _where(speeds: Sequence[Speed]) -> str:
    devices: dict[str, list[str]] = {}
    for one in speeds:
        devices.setdefault(one.device, []).append(one.method)
    if len(devices) == 1:
        return f"Measured on {next(iter(devices))}."
    parts = [f"{listed(methods)} on {device}" for device, methods in devices.items()]
    return f"Measured on different devices, which must not be compared: {'; '.join(parts)}."


AGREEMENT = (
    "Kendall's tau-b compares two orders of the same methods: 1 the same, 0 unrelated, -1 turned "
    "round. p is for no relation at all; with fewer than about six methods it can hardly fall "
    "below 5 %, whatever the truth. The p of this table are not corrected for their number."
)


def agreement(report: Report, looks: Looks) -> list[Section]:
    """Return whether the orders of methods agree with each other and with the paper's."""
    title = "Do the orders agree?"
    if not report.agreements:
        few = "There are no two orders of at least three common methods to compare."
        return [Section("agreement", title, [tag("p", few)])]
    sides = tag("th", "one order", scope="col"), tag("th", "the other", scope="col")
    heads = (tag("th", n, scope="col", class_="number") for n in ("tau", "p", "methods"))
    head = tag("thead", tag("tr", *sides, *heads))
    rows = [_agreement(report, one) for one in report.agreements]
    shown = tag("table", head, tag("tbody", *rows), class_="plain")
    box = tag("div", shown, class_="scroll", tabindex="0")
    return [Section("agreement", title, [tag("p", AGREEMENT, class_="caption"), box])]


def _agreement(report: Report, one: Agreement) -> Html:
    numbers = (f"{one.tau:+.2f}", f"{one.p:.3f}", str(one.methods))
    return tag(
        "tr",
        tag("th", _bare(one.first, report), scope="row"),
        tag("td", _bare(one.second, report)),
        *(tag("td", number, class_="number") for number in numbers),
    )


def _bare(title: str, report: Report) -> str:
    """Return a table's title without the experiment's name."""
    return title.replace(f"{report.name}: ", "", 1)


LOSSES = (
    "A thin line a seed; grey: all other methods, on the same axes. {dotted}A curve that still "
    "falls at its end was stopped before it had converged, and then a budget is compared, not only "
    "a method."
)


def losses(report: Report, looks: Looks) -> list[Section]:
    """Return the training curves."""
    body: Body = []
    for number, (title, lines) in enumerate(report.losses.items()):
        panels = loss_figures(lines, looks, str(number))
        dotted = "Dotted: validation images. " if any(c.style == "val" for c in lines) else ""
        words = tag("p", LOSSES.format(dotted=dotted), class_="caption")
        body += [tag("h3", title), words, tag("div", *panels, class_="grid")]
    if not body:
        body = [tag("p", "The store holds no training curve.")]
    return [Section("training", "Training curves", body)]


SECTIONS: tuple[Builder, ...] = (
    tasks,
    robustness,
    examples,
    speed,
    agreement,
    losses,
    provenance,
)
