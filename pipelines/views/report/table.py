"""A task's table as HTML: numbers as in every other format, intervals beneath them."""

from __future__ import annotations

from pipelines.results.agreement import Evidence
from pipelines.results.values import Row, Table
from pipelines.views.formats import DASH, UNFINISHED, cell, interval, label
from pipelines.views.report.html import Html, tag
from pipelines.views.report.palette import Looks
from pipelines.views.report.svg import figure, line, marker

LOWER = " \N{DOWNWARDS ARROW}"
"""Behind the name of a column in which the lowest value is best."""
WIDE = 9
"""Columns beyond which a table is printed in smaller letters."""


def table(evidence: Evidence, looks: Looks) -> Html:
    """Return the table in a box of its own that scrolls sideways, with its notes folded."""
    shown = evidence.table
    heads = [
        tag("th", name, LOWER if name in shown.lower else None, class_=_column(name, evidence))
        for name in shown.columns
    ]
    head = tag("thead", tag("tr", tag("th", "method", scope="col"), *heads))
    body = tag("tbody", *(_row(evidence, row, looks) for row in shown.rows))
    wide = "scroll wide" if len(shown.columns) > WIDE else "scroll"
    box = tag("div", tag("table", head, body), class_=wide, tabindex="0")
    return tag("div", box, _legend(shown), *notes(evidence), class_="block")


def swatch(method: str, looks: Looks) -> Html:
    """Return a method's colour, dashes and marker, as small as a letter."""
    look = looks[method]
    stroke = line(
        0, 8, 28, 8, stroke=look.colour, stroke_width=2.4, stroke_dasharray=look.dash or None
    )
    drawn = figure(28, 16, method, stroke, marker(14, 8, look))
    return tag("span", drawn, class_="swatch", aria_hidden="true")


def legend(methods: list[str], looks: Looks) -> Html:
    """Return the looks of methods, which all figures share."""
    items = [tag("li", swatch(method, looks), method) for method in methods]
    return tag("ul", *items, class_="legend")


def _column(name: str, evidence: Evidence) -> str | None:
    return "headline" if name == evidence.headline else None


def _row(evidence: Evidence, row: Row, looks: Looks) -> Html:
    shown = evidence.table
    mark = swatch(row.label, looks) if row.kind == "ours" else None
    between = interval(shown, row)
    cells = [
        tag(
            "td",
            _number(shown, row, place),
            tag("small", between[place]) if between and between[place] else None,
            class_=_column(column, evidence),
        )
        for place, column in enumerate(shown.columns)
    ]
    name = tag("span", mark, tag("span", label(row).strip()), class_="name")
    return tag("tr", tag("th", name, scope="row"), *cells, class_=row.kind)


def _number(shown: Table, row: Row, place: int) -> Html:
    rank = {1: "best", 2: "second"}.get(shown.rank(row, place) or 0)
    return tag("span", cell(shown, row, place, lambda text, _: text), class_=rank)


def _legend(shown: Table) -> Html:
    lacking = "undefined" if shown.task == "scoring" else "class absent"
    lower = f"; {', '.join(shown.lower)}: the lowest is best" if shown.lower else ""
    words = (
        tag("b", "Bold", class_="best"),
        " best, ",
        tag("span", "underlined", class_="second"),
        " second of our rows; [low, high]: 95 % interval over test images; ",
        f"{DASH} {lacking} or not printed; {UNFINISHED} not finished{lower}.",
    )
    return tag("p", *words, class_="caption")


def notes(evidence: Evidence) -> list[Html]:
    """Return notes and deviations, each folded under its number."""
    shown = evidence.table
    told = list(dict.fromkeys((*shown.notes, *evidence.notes)))
    parts = (("Notes", told), ("Deviations from the paper's protocol", list(shown.deviations)))
    return [folded(f"{title} ({len(lines)})", lines) for title, lines in parts if lines]


def folded(title: str, lines: list[str]) -> Html:
    """Return a list that opens on a click, and always in print."""
    items = tag("ul", *(tag("li", text) for text in lines))
    return tag("details", tag("summary", title), items)
