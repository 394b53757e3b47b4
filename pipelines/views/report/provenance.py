"""The section that says where each number comes from, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.views.report.html import Child, Html, tag
from pipelines.views.report.model import CellRecord, Report
from pipelines.views.report.palette import Looks
from pipelines.views.report.section import Section

COLUMNS = (
    *("task", "method", "seed", "score", "stage", "commit", "on", "software", "seconds"),
    *("weights", "made by"),
)
WORDS = (
    "One line a cell. Stage: the folder under stages/ in the store, named by the digest of all "
    "that determines the result. Seconds: training and testing, without fusing. Weights: the "
    "beginning of the digest of what was trained and tested."
)
AGAIN = (
    "Each command makes one cell alone, or finds it in the store; methods and their parameters are "
    "written out as they were resolved, --store says where results lie."
)


def provenance(report: Report, looks: Looks) -> list[Section]:
    """Return every cell's origin; the commands and the software's versions are folded."""
    sets = software(report.cells)
    heads = [tag("th", name, scope="col") for name in COLUMNS]
    rows = [_row(cell, sets) for cell in report.cells]
    shown = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="plain")
    body: list[Child] = [
        tag("p", WORDS, class_="caption"),
        tag("div", shown, class_="scroll wide long", tabindex="0"),
        *(_versions(letter, versions) for versions, letter in sets.items()),
        _commands(report.cells),
        *_blocked(report.blocked),
    ]
    return [Section("provenance", "Where every number comes from", body)]


Versions = tuple[tuple[str, str], ...]


def software(cells: Sequence[CellRecord]) -> dict[Versions, str]:
    """Return a letter for each distinct set of versions, in the order of its first cell."""
    sets: dict[Versions, str] = {}
    for cell in cells:
        if cell.versions:
            sets.setdefault(_key(cell.versions), _letters(len(sets)))
    return sets


def _key(versions: Mapping[str, str]) -> Versions:
    return tuple(sorted(versions.items()))


def _letters(number: int) -> str:
    first, second = divmod(number, 26)
    return (chr(64 + first) if first else "") + chr(65 + second)


def _row(cell: CellRecord, sets: Mapping[Versions, str]) -> Html:
    letter = sets[_key(cell.versions)] if cell.versions else ""
    facts = {"score": "not finished", "software": letter, **cell.facts}
    first, *rest = (facts.get(name, "") for name in COLUMNS)
    return tag("tr", tag("th", first, scope="row"), *(tag("td", text) for text in rest))


def _versions(letter: str, versions: Versions) -> Html:
    told = ", ".join(f"{name} {version}" for name, version in versions)
    return tag("p", tag("b", f"Software {letter}: "), told, class_="caption")


def _commands(cells: Sequence[CellRecord]) -> Html:
    lines = [
        tag("p", f"{cell.title}", tag("br"), tag("code", cell.again, class_="commands"))
        for cell in cells
    ]
    title = tag("summary", f"Commands to make each cell again ({len(cells)})")
    return tag("details", title, tag("div", tag("p", AGAIN, class_="caption"), *lines))


def _blocked(blocked: Sequence[tuple[str, str]]) -> list[Html]:
    if not blocked:
        return []
    items = tag("ul", *(tag("li", f"{title}: {why}") for title, why in blocked))
    return [tag("details", tag("summary", f"Cells that cannot run ({len(blocked)})"), items)]
