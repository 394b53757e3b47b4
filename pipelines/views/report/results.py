"""The section of one task: its table, and what is drawn of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pipelines.results.agreement import Difference, Evidence
from pipelines.results.evidence import listed
from pipelines.views.report.bars import class_bars, rank_matrix
from pipelines.views.report.confusion import confusion_figure
from pipelines.views.report.curves import precision_recall_figure
from pipelines.views.report.forest import forest
from pipelines.views.report.html import Child, Html, tag
from pipelines.views.report.model import TaskReport
from pipelines.views.report.palette import Looks
from pipelines.views.report.sentences import finding, scored
from pipelines.views.report.table import legend, table

DIFFERENCES = (
    "Each line is a method's {column} less the reference's, over the same test images, with its "
    "95 % interval; p is corrected by Holm over all methods compared with that reference. A filled "
    "marker is told from the reference at 5 %, a hollow one is not: an interval across the black "
    "line says that the order could be chance."
)
BARS = (
    "Bars: mean over seeds, in the order of the table; black lines: 95 % intervals where they are "
    "known. {paper}Where intervals of a class are wide, its order says little."
)
UNFOLDED = 4
"""More figures of differences than these are folded away."""
RANKS = (
    "In how many percent of the resampled test sets each method takes each place in {column}. A "
    "smeared row has no sure place among these methods."
)
RANKS_OF_SEEDS = (
    " Only test images are drawn again here, not trainings: a row that is dark in one cell is sure "
    "of its place with these trainings alone; whether it would be with others, the paired "
    "differences say, which count both."
)
CURVES = (
    "Precision at each recall, IoU 0.5, mean over a method's finished seeds; the area below a line "
    "is its AP50. A line that ends early misses objects, one that sags early raises false alarms."
)
CONFUSIONS = (
    "Of the pixels of each true class (rows), the percent given to each class (columns), summed "
    "over test images and seeds. Dark off the diagonal is what a method confuses; the column of "
    "{background} is what it misses."
)


def results(part: TaskReport, looks: Looks) -> list[Child]:
    """Return a task's table and figures; what cannot be drawn leaves its reason."""
    evidence = part.evidence
    return [
        tag("p", finding(evidence)),
        tag("p", _counts(part), class_="caption"),
        table(evidence, looks),
        *_lost(part),
        *_differences(evidence, looks),
        *_per_class(evidence, looks),
        *_ranks(evidence),
        *_curves(part, looks),
        *_confusions(part),
    ]


def _counts(part: TaskReport) -> str:
    rows = [row for row in part.evidence.table.rows if row.kind == "ours"]
    done = sum(row.finished for row in rows)
    images = f"{part.images} test images" if part.images else "No test images scored yet"
    return f"{images}; {len(rows)} methods; {done} of {sum(r.wanted for r in rows)} cells finished."


def _lost(part: TaskReport) -> list[Html]:
    if not part.lost:
        return []
    told = "The figures lack what the store no longer holds, readably: "
    return [tag("p", told, listed(part.lost), ".", class_="warn")]


def _differences(evidence: Evidence, looks: Looks) -> list[Html]:
    title = tag("h3", "Paired differences")
    groups = _grouped(evidence)
    if not groups:
        why = "There are no differences to draw: that takes two finished methods."
        return [title, tag("p", why)]
    columns = listed(list(dict.fromkeys(column for column, _ in groups)))
    shown = evidence.table
    figures = [
        forest(found, looks, shown.digits, column in shown.lower)
        for (column, _), found in groups.items()
    ]
    words = tag("p", DIFFERENCES.format(column=columns), class_="caption")
    drawn = tag("div", *figures, class_="pair")
    if len(figures) <= UNFOLDED:
        return [title, words, drawn]
    summary = tag("summary", f"{len(figures)} figures: each metric, each reference")
    return [title, words, tag("details", summary, drawn)]


def _grouped(evidence: Evidence) -> dict[tuple[str, str], list[Difference]]:
    """Return differences by column and reference: of the headline, or of all where it has none."""
    defined = [d for d in evidence.differences if math.isfinite(d.mean + d.low + d.high)]
    known = [d for d in defined if d.column == evidence.headline]
    groups: dict[tuple[str, str], list[Difference]] = {}
    for found in known or defined:
        if found.method != found.reference:
            groups.setdefault((found.column, found.reference), []).append(found)
    return groups


def _figure(caption: str, drawn: Html) -> Html:
    return tag("figure", drawn, tag("figcaption", caption))


def _per_class(evidence: Evidence, looks: Looks) -> list[Html]:
    shown = evidence.table
    wanted = range(len(shown.columns))
    drawn = [bars for c in wanted if (bars := class_bars(shown, c, looks)) is not None]
    if not drawn:
        return []
    title = tag("h3", "By metric" if shown.task == "scoring" else "By class")
    printed = any(row.kind == "paper" for row in shown.rows)
    paper = "White diamonds: the paper's printed numbers. " if printed else ""
    words = tag("p", BARS.format(paper=paper), class_="caption")
    return [title, words, _grid(drawn)]


def _grid(drawn: Iterable[Html]) -> Html:
    return tag("div", *drawn, class_="grid")


def _ranks(evidence: Evidence) -> list[Html]:
    if len(evidence.ranks) < 2:
        return []
    title = tag("h3", f"Places in {evidence.headline}")
    seeds = any(row.wanted > 1 for row in evidence.table.rows)
    more = RANKS_OF_SEEDS if seeds else ""
    words = tag("p", RANKS.format(column=evidence.headline), more, class_="caption")
    drawn = _figure("percent of resamples", rank_matrix(evidence.ranks))
    return [title, words, tag("div", drawn, class_="pair")]


def _curves(part: TaskReport, looks: Looks) -> list[Html]:
    if not part.curves:
        return []
    drawn = [precision_recall_figure(name, lines, looks) for name, lines in part.curves.items()]
    shared = legend([row.label for row in scored(part.evidence)], looks)
    words = tag("p", CURVES, class_="caption")
    return [tag("h3", "Precision and recall"), words, shared, _grid(drawn)]


def _confusions(part: TaskReport) -> list[Html]:
    if not part.confusions:
        return []
    words = tag("p", CONFUSIONS.format(background=part.classes[0]), class_="caption")
    drawn = [confusion_figure(m, c, part.classes) for m, c in part.confusions.items()]
    return [tag("h3", "Confusion"), words, _grid(drawn)]
