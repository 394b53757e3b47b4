"""What the evidence says and what it does not, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.conclusions.wording import listed
from pipelines.results.statistics.best import ALPHA
from pipelines.results.values import Row, Table, Value
from pipelines.views.report.model import Report, Speed, TaskReport

BEYOND = (
    "How the methods would do on other scenes, with other networks or other budgets: only these "
    "test images{seeds} are in any interval."
)


def heading(report: Report, table: Table) -> str:
    """Return a table's title without the experiment's name, which the page has on top."""
    title = table.title.removeprefix(f"{report.name}: ")
    return title[:1].upper() + title[1:]


def facts(report: Report) -> str:
    """Return what was run, how far it is, and when."""
    seeds = f"{len(report.seeds)} seed{'s' if report.seeds[1:] else ''}"
    images = listed([f"{_tested(part)} for {part.evidence.table.name}" for part in report.tasks])
    finished = sum(cell.finished for cell in report.cells)
    when = f"Results of {report.days}; page" if report.days else "Page"
    return (
        f"{len(report.methods)} methods, {seeds} ({', '.join(map(str, report.seeds))}), {images}; "
        f"{finished} of {len(report.cells) + len(report.blocked)} cells finished. "
        f"{when} made on {report.made}."
    )


def counts(part: TaskReport) -> str:
    """Return how many images, methods and finished cells are behind a table."""
    rows = [row for row in part.evidence.table.rows if row.kind == "ours"]
    done = part.folds * sum(row.finished for row in rows)
    wanted = part.folds * sum(row.wanted for row in rows)
    images = _tested(part) if part.images else "No test images scored yet"
    return f"{images}; {len(rows)} methods; {done} of {wanted} cells finished."


def _tested(part: TaskReport) -> str:
    """Return the number of test images, and of the scenes where there are fewer."""
    scenes = f" of {part.scenes} scenes" if 0 < part.scenes < part.images else ""
    folds = f" in {part.folds} folds" if part.folds > 1 else ""
    return f"{part.images} test images{scenes}{folds}"


def measured_on(speeds: Sequence[Speed]) -> str:
    """Return on what the methods' seconds were measured."""
    devices: dict[str, list[str]] = {}
    for one in speeds:
        devices.setdefault(one.device, []).append(one.method)
    if len(devices) == 1:
        return f"Measured on {next(iter(devices))}."
    parts = [f"{listed(methods)} on {device}" for device, methods in devices.items()]
    return f"Measured on different devices, which must not be compared: {'; '.join(parts)}."


def orders(report: Report) -> list[list[str]]:
    """Return a line of words and numbers for each two orders that are compared."""
    lines = []
    for one in report.agreements:
        titles = (t.replace(f"{report.name}: ", "", 1) for t in (one.first, one.second))
        lines.append(
            [*titles, f"{one.tau:+.2f}", f"[{one.low:+.2f}, {one.high:+.2f}]", str(one.methods)]
        )
    return lines


def finding(evidence: Evidence) -> str:
    """Return who leads in the headline column, and among which methods the best is."""
    best, value = evidence.best, headline_value(evidence, evidence.best)
    if best is None or value is None:
        return f"{evidence.headline}: no method is finished yet."
    digits = evidence.table.digits
    sure = ""
    if value.ci95 is not None:
        sure = f" [{value.ci95[0]:.{digits}f}, {value.ci95[1]:.{digits}f}]"
    told = evidence.conclusion or _nothing_concluded(evidence)
    return f"{evidence.headline}: {best} leads with {value.mean:.{digits}f}{sure}. {told}"


def _nothing_concluded(evidence: Evidence) -> str:
    if not scored(evidence)[1:]:
        return "No other method is finished, so nothing is compared."
    return "What the test images say of the order is not known, so nothing is concluded."


def headline_value(evidence: Evidence, method: str | None) -> Value | None:
    """Return a method's value in the headline column, None when there is none."""
    column = evidence.table.columns.index(evidence.headline)
    found = [row.values[column] for row in scored(evidence) if row.label == method]
    return found[0] if found else None


def scored(evidence: Evidence) -> list[Row]:
    """Return our rows that have a value in the headline column."""
    column = evidence.table.columns.index(evidence.headline)
    rows = evidence.table.rows
    return [row for row in rows if row.kind == "ours" and row.values[column] is not None]


def unfinished(report: Report) -> str:
    """Return a sentence on what is not there yet, empty when all is."""
    lacking = [cell.title for cell in report.cells if not cell.finished]
    blocked = [title for title, _ in report.blocked]
    parts = []
    if lacking:
        parts.append(
            f"{len(lacking)} of {len(report.cells)} cells are not finished ({_few(lacking)})"
        )
    if blocked:
        parts.append(f"{len(blocked)} cannot run ({_few(blocked)})")
    return "; ".join(parts) + "." if parts else ""


def _few(titles: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(titles) - shown} more" if titles[shown:] else ""
    return ", ".join(titles[:shown]) + more


def unsupported(report: Report) -> list[str]:
    """Return what a reader might conclude from the tables and these data do not support."""
    found = []
    for part in report.tasks:
        evidence = part.evidence
        level = [name for name in evidence.among_best if name != evidence.best]
        where = f"in {evidence.headline} ({heading(report, evidence.table)})"
        if evidence.basis == "one training" and scored(evidence)[1:]:
            found.append(f"That any method is better than another {where}: one training each.")
        elif level:
            found.append(f"That {evidence.best} is better than {listed(level)} {where}.")
        found += _sources(report, evidence, where)
    found += _seeds(report)
    return [*found, BEYOND.format(seeds=" and these seeds" if report.seeds[1:] else "")]


def _sources(report: Report, evidence: Evidence, where: str) -> Iterator[str]:
    """Yield which methods cannot be told from the visible images alone."""
    visible = {row for row, name in report.methods if name == "visible"}
    if evidence.best in visible:
        return
    level = [
        d.method
        for d in evidence.differences
        if d.reference in visible and d.column == evidence.headline and d.p_adjusted >= ALPHA
    ]
    if level:
        any_of = "any of " if level[1:] else ""
        yield f"That {any_of}{listed(level)} differs from the visible images alone {where}."


def _seeds(report: Report) -> Iterator[str]:
    if not report.seeds[1:]:
        yield "How much another training would change a number: there is one seed."
    partial = [
        f"{row.label} ({row.finished} of {row.wanted} seeds)"
        for part in report.tasks
        for row in part.evidence.table.rows
        if row.kind == "ours" and row.finished < row.wanted
    ]
    if partial:
        names = listed(list(dict.fromkeys(partial)))
        yield f"A final order: the numbers will still change with the unfinished cells of {names}."
