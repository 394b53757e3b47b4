"""A table as text, Markdown, CSV, LaTeX or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Literal

from pipelines.tables import Row, Table, Value, as_plain

Format = Literal["text", "md", "csv", "latex", "json"]
DASH, UNFINISHED = "-", "..."
Mark = Callable[[str, int | None], str]


def cell(table: Table, row: Row, column: int, mark: Mark) -> str:
    """Return one cell: "..." while nothing is finished, a dash for an absent class."""
    if row.finished == 0:
        return UNFINISHED
    value = row.values[column]
    if value is None:
        return DASH
    return mark(number(value, row), table.rank(row, column))


def number(value: Value, row: Row) -> str:
    """Return a score with its deviation over seeds; differences carry their sign."""
    text = f"{value.mean:+.1f}" if row.kind == "difference" else f"{value.mean:.1f}"
    return text if value.sd is None else f"{text} ±{value.sd:.1f}"


def label(row: Row) -> str:
    """Return the row's title, with the seeds that are finished where some are not."""
    partial = row.kind == "ours" and 0 < row.finished < row.wanted
    return f"{row.label} ({row.finished} of {row.wanted} seeds)" if partial else row.label


def _lines(table: Table) -> list[str]:
    return [*table.notes, *(f"Deviation: {text}" for text in table.deviations)]


def text(table: Table) -> str:
    """Return aligned columns with terminal codes: bold best, underlined second."""
    head = ["method", *table.columns]
    body = [
        [label(row), *(cell(table, row, c, lambda t, _: t) for c in range(len(table.columns)))]
        for row in table.rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = [table.title, "", _aligned(head, widths)]
    lines.append("  ".join("-" * width for width in widths))
    for row, cells in zip(table.rows, body, strict=True):
        ranks = [None, *(table.rank(row, c) for c in range(len(table.columns)))]
        lines.append(_aligned(cells, widths, ranks))
    lines += [
        "",
        "bold: best, underlined: second, -: class absent or not printed, ...: not finished",
    ]
    return "\n".join([*lines, *_lines(table)])


def _aligned(cells: list[str], widths: list[int], ranks: list[int | None] | None = None) -> str:
    codes = {1: "\033[1m", 2: "\033[4m"}
    parts = []
    for place, (content, width) in enumerate(zip(cells, widths, strict=True)):
        pad = " " * (width - len(content))
        code = codes.get((ranks[place] if ranks else None) or 0)
        shown = f"{code}{content}\033[0m" if code else content
        parts.append(shown + pad if place == 0 else pad + shown)
    return "  ".join(parts).rstrip()


def markdown(table: Table) -> str:
    """Return a Markdown table with its notes as a list."""

    def mark(shown: str, rank: int | None) -> str:
        return {1: f"**{shown}**", 2: f"<u>{shown}</u>"}.get(rank or 0, shown)

    columns = range(len(table.columns))
    lines = [f"**{table.title}**", "", "| method | " + " | ".join(table.columns) + " |"]
    lines.append("|---|" + "---:|" * len(table.columns))
    for row in table.rows:
        cells = [cell(table, row, c, mark) for c in columns]
        name = label(row).strip().replace("|", "\\|")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Bold: best; underlined: second; -: class absent or not printed; ...: not finished.",
    ]
    lines.append("")
    return "\n".join([*lines, *(f"- {line}" for line in _lines(table))])


def comma_separated(table: Table) -> str:
    """Return CSV: one row per method, mean and sd columns, empty where there is no number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = [name for column in table.columns for name in (column, f"{column} sd")]
    writer.writerow(["method", "kind", "seeds finished", "seeds wanted", *head])
    for row in table.rows:
        cells = [part for value in row.values for part in _pair(value)]
        writer.writerow([row.label.strip(), row.kind, row.finished, row.wanted, *cells])
    return stream.getvalue()


def _pair(value: Value | None) -> tuple[str, str]:
    if value is None:
        return "", ""
    return f"{value.mean:.4f}", "" if value.sd is None else f"{value.sd:.4f}"


def latex(table: Table) -> str:
    r"""Return a tabular with \textbf and \underline; the notes are comments."""

    def mark(shown: str, rank: int | None) -> str:
        shown = shown.replace("±", r"$\pm$")
        return {1: rf"\textbf{{{shown}}}", 2: rf"\underline{{{shown}}}"}.get(rank or 0, shown)

    columns = range(len(table.columns))
    lines = [f"% {line}" for line in (table.title, *_lines(table))]
    lines += [r"\begin{tabular}{l" + "r" * len(table.columns) + "}", r"\hline"]
    lines.append(" & ".join(["method", *map(_escape, table.columns)]) + r" \\ \hline")
    for row in table.rows:
        cells = [cell(table, row, c, mark) for c in columns]
        lines.append(" & ".join([_escape(label(row).strip()), *cells]) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}"])


def _escape(name: str) -> str:
    known = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    plain = {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join({**known, **plain}.get(character, character) for character in name)


def json_text(table: Table) -> str:
    """Return the whole table as JSON, unrounded."""
    return json.dumps(as_plain(table), indent=1, ensure_ascii=False)


RENDERERS: dict[Format, Callable[[Table], str]] = {
    "text": text,
    "md": markdown,
    "csv": comma_separated,
    "latex": latex,
    "json": json_text,
}


def render(table: Table, form: Format) -> str:
    """Return the table in one of the formats."""
    return RENDERERS[form](table)
