"""The whole page: headline, sections, and everything that they need, in one file."""

from __future__ import annotations

from pipelines.results.evidence import listed
from pipelines.views.report.html import Child, Html, raw, tag
from pipelines.views.report.model import Report
from pipelines.views.report.palette import looks
from pipelines.views.report.section import Section
from pipelines.views.report.sections import SECTIONS
from pipelines.views.report.sentences import finding, heading, unfinished, unsupported
from pipelines.views.report.styles import SCRIPT, STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Tells browsers what holds anyhow: nothing is fetched from anywhere."""


def page(report: Report) -> str:
    """Return the report as one HTML document, a function of its data alone."""
    styles = looks(report.methods)
    sections = [section for build in SECTIONS for section in build(report, styles)]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", f"{report.name}: which fusion method helps?"),
        tag("style", raw(STYLE)),
    )
    body = tag("body", *_top(report), _contents(sections), *map(_section, sections), _script())
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _script() -> Html:
    return tag("script", raw(SCRIPT))


def _top(report: Report) -> list[Html]:
    return [
        tag("h1", f"{report.name}: which fusion method helps?"),
        tag("p", _facts(report), class_="facts"),
        *_warning(report),
        tag("ul", *_findings(report), class_="findings"),
        _limits(report),
    ]


def _facts(report: Report) -> str:
    seeds = f"{len(report.seeds)} seed{'s' if report.seeds[1:] else ''}"
    images = listed(
        [f"{part.images} test images for {part.evidence.table.name}" for part in report.tasks]
    )
    finished = sum(cell.finished for cell in report.cells)
    when = f"Results of {report.days}; page" if report.days else "Page"
    return (
        f"{len(report.methods)} methods, {seeds} ({', '.join(map(str, report.seeds))}), {images}; "
        f"{finished} of {len(report.cells) + len(report.blocked)} cells finished. "
        f"{when} made on {report.made}."
    )


def _warning(report: Report) -> list[Html]:
    lacking = unfinished(report)
    return [tag("p", f"Unfinished: {lacking}", class_="warn")] if lacking else []


def _findings(report: Report) -> list[Html]:
    return [
        tag("li", finding(part.evidence), tag("span", heading(report, part.evidence)))
        for part in report.tasks
    ]


def _limits(report: Report) -> Html:
    lines = tag("ul", *(tag("li", text) for text in unsupported(report)))
    return tag("div", tag("h3", "What these data do not support"), lines, class_="limits")


def _contents(sections: list[Section]) -> Html:
    links = (tag("a", section.title, href=f"#{section.anchor}") for section in sections)
    return tag("nav", *links, aria_label="Contents")


def _section(section: Section) -> Child:
    return tag("section", tag("h2", section.title, id=section.anchor), *section.body)
