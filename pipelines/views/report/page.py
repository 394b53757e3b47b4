"""The whole page, one HTML file: templates filled with a report, escaped as they are filled."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fusion.files import write_durably
from pipelines.execution.progress import Screen
from pipelines.results.conclusions.agreement import agreements
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.conclusions.wording import listed
from pipelines.results.finished import Results
from pipelines.results.values import Row, Table
from pipelines.views import formats
from pipelines.views.report import origins, sentences
from pipelines.views.report.content import collect
from pipelines.views.report.model import BOXES, Report, Strip, TaskReport

TEMPLATES = Path(__file__).with_name("templates")
POLICY = (
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)
"""Tells browsers what holds anyhow: nothing is fetched from anywhere, and no text can run."""
ROW = 6
"""Pictures beside each other at most, on a screen that is wide enough."""


@dataclass(frozen=True)
class Section:
    """A part of the page: the anchor that the contents lead to, its heading, and its template."""

    anchor: str
    title: str
    template: str
    part: TaskReport | None = None


def write_report(
    results: Results, evidence: Sequence[Evidence], screen: Screen, path: Path
) -> None:
    """Write the page of whatever is finished."""
    path.parent.mkdir(exist_ok=True)
    with screen.step("reading results and drawing") as progress:
        text = page(collect(results, evidence, agreements(evidence), progress))
    write_durably(path, text)


def is_torn(path: Path) -> bool:
    """Whether there is a page that does not end as pages end."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(-min(100, path.stat().st_size), os.SEEK_END)
        return not stream.read().rstrip().endswith(b"</html>")


def page(report: Report) -> str:
    """Return the report as one HTML document, a function of its data alone."""
    from pipelines.views.charts.theme import looks  # half a second that no cached run needs

    style, script = (_own(name) for name in ("style.css", "page.js"))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            looks=looks(report.methods),
            sections=list(_sections(report)),
            style=style,
            script=script,
            policy=POLICY.format(style=_digest(style), script=_digest(script)),
        )
    )


def _sections(report: Report) -> Iterator[Section]:
    """Yield the sections in their order; further ones are a template and a line here."""
    for part in report.tasks:
        table = part.evidence.table
        yield Section(table.name, sentences.heading(report, table), "task.html.j2", part)
    if report.robustness:
        yield Section("robustness", "When the pairs are disturbed", "robustness.html.j2")
    if report.scans:
        yield Section("scans", "When the scan is shorter", "scans.html.j2")
    if any(not part.evidence.task.per_image for part in report.tasks):
        yield Section("images", "Where the methods differ most", "examples.html.j2")
    yield Section("speed", "Speed and accuracy", "speed.html.j2")
    yield Section("agreement", "Do the orders agree?", "agreement.html.j2")
    yield Section("training", "Training curves", "training.html.j2")
    yield Section("provenance", "Where every number comes from", "provenance.html.j2")


def _environment() -> Environment:
    from pipelines.views.report import figures

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "boxes": BOXES,
        "figures": figures,
        "formats": formats,
        "listed": listed,
        "origins": origins,
        "sentences": sentences,
        "across": _across,
        "lines": _lines,
        "grouped": _grouped,
        "notes": _notes,
        "score": _score,
    }
    made.filters["short"] = _short
    return made


def _own(name: str) -> Markup:
    """Return the text of our style sheet or script, the only text that is not escaped."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    """Return the source of a content policy that allows this text inline, and no other."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _grouped(table: Table) -> list[list[Row]]:
    """Return each of our rows with those that belong to it beneath, the paper's and differences."""
    groups: list[list[Row]] = []
    for row in table.rows:
        if row.kind == "ours":
            groups.append([])
        groups[-1].append(row)
    return groups


def _score(table: Table, row: Row, column: int) -> str:
    return formats.cell(table, row, column, lambda text, _rank: text)


def _lines(table: Table) -> list[list[str]]:
    """Return every line of a table as words, its intervals on lines of their own."""
    return [[title, *cells] for _, title, cells in formats.shown(table, lambda text, _: text)]


def _notes(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys((*evidence.table.notes, *evidence.notes)))


def _across(strip: Strip) -> int:
    """Return how many pictures stand beside each other, so that rows are of about equal length."""
    number = len(strip.pictures)
    return math.ceil(number / math.ceil(number / ROW))


def _short(coordinate: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{coordinate:.1f}".removesuffix(".0")
