"""A table as text, Markdown, CSV, LaTeX or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from rich.box import Box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pipelines.results.values import Row, Table, Value, as_plain
from pipelines.tasks.task import task_of

Format = Literal["text", "md", "csv", "latex", "booktabs", "json"]
DASH, UNFINISHED, STAR = "-", "...", "*"
OBJECTS = "objects (test)"
ROOM = "\ue000"
"""Stands for a space that the grid would take away; of no alphabet."""
STYLES = {1: "bold", 2: "underline"}
RULE = Box("    \n    \n -  \n" + "    \n" * 5, ascii=True)
"""No lines but one beneath the head, with a gap between columns."""
WIDEST = 10_000
"""Characters; a table is never folded, a terminal or a pager can do that."""
Rules = tuple[str, str, str]
HLINES: Rules = (r"\hline", r" \hline", r"\hline")
BOOKTABS: Rules = (r"\toprule", "\n\\midrule", r"\bottomrule")
Mark = Callable[[str, int | None], str]


def cell(table: Table, row: Row, column: int, mark: Mark) -> str:
    """Return one cell: "..." while nothing is finished, a dash for what will not be."""
    if row.finished == 0 and row.wanted > 0:
        return UNFINISHED
    value = row.values[column]
    if value is None:
        return DASH
    star = STAR if table.may_be_best(row, column) else ""
    return mark(number(value, row, table.digits) + star, table.rank(row, column))


def number(value: Value, row: Row, digits: int) -> str:
    """Return a score with its deviation over seeds; differences carry their sign."""
    sign = "+" if row.kind == "difference" else ""
    text = f"{value.mean:{sign}.{digits}f}"
    return text if value.sd is None else f"{text} ±{value.sd:.{digits}f}"


def interval(table: Table, row: Row) -> list[str] | None:
    """Return the cells of the line beneath a row that holds its intervals, if it has any."""
    if all(value is None or value.ci95 is None for value in row.values):
        return None
    return [
        "" if value is None or value.ci95 is None else _between(*value.ci95, table.digits)
        for value in row.values
    ]


def objects(table: Table) -> list[str]:
    """Return the cells of the line that says how many objects each column rests on."""
    return ["" if number is None else str(number) for number in table.objects]


def _between(low: float, high: float, digits: int) -> str:
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def shown(table: Table, mark: Mark) -> Iterator[tuple[Row | None, str, list[str]]]:
    """Yield every line of the table: its row, title and cells.

    There is no row of the line of objects, which comes first, and of those of intervals.
    """
    if any(table.objects):
        yield None, OBJECTS, objects(table)
    for row in table.rows:
        yield row, label(row), [cell(table, row, c, mark) for c in range(len(table.columns))]
        if (between := interval(table, row)) is not None:
            yield None, "  95 %", between


def label(row: Row) -> str:
    """Return the row's title, with the seeds that are finished where some are not."""
    partial = row.kind == "ours" and 0 < row.finished < row.wanted
    return f"{row.label} ({row.finished} of {row.wanted} seeds)" if partial else row.label


def _lines(table: Table) -> list[str]:
    return [*table.notes, *(f"Deviation: {text}" for text in table.deviations)]


def text(table: Table, styled: bool | None = None) -> str:
    """Return aligned columns, the best bold and the second underlined where that can be seen.

    That is on a terminal, unless `styled` says whether; anything else gets plain text.
    """
    console = Console(
        width=WIDEST,
        highlight=False,
        force_terminal=styled,
        color_system="standard" if styled else "auto",
    )
    with console.capture() as captured:
        console.print(_grid(table), no_wrap=True, crop=False)
    lines = [line.replace(ROOM, " ").rstrip() for line in captured.get().splitlines()]
    marks = "bold: best, underlined: second, " if console.color_system else ""
    return "\n".join([table.title, "", *lines, "", f"{marks}{_legend(table)}", *_lines(table)])


def _grid(table: Table) -> Grid:
    grid = Grid(box=RULE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    for number, heading in enumerate(("method", *table.columns)):
        grid.add_column(Text(heading), justify="right" if number else "left", no_wrap=True)
    for row, title, cells in shown(table, lambda text, _: text):
        ranks = [table.rank(row, column) if row else None for column in range(len(cells))]
        styles = [STYLES.get(rank or 0, "") for rank in ranks]
        # As a part of the cell: what aligns the cell shall not be underlined.
        even = [_even(table, column, text) for column, text in enumerate(cells)]
        grid.add_row(Text(title), *(Text.assemble(part) for part in zip(even, styles, strict=True)))
    return grid


def _even(table: Table, column: int, text: str) -> str:
    """Return a cell with room for a star, so that numbers stand beneath each other."""
    plain = table.columns[column] in table.among_best and not text.endswith(STAR)
    return f"{text}{ROOM}" if plain else text


def lacking(table: Table) -> str:
    """Return why a value of ours may be missing from a table."""
    return "undefined" if task_of(table.task).per_image else "class absent"


def _legend(table: Table) -> str:
    stars = f"{STAR}: {starred()}, " if table.among_best else ""
    return f"{stars}{DASH}: {lacking(table)} or not printed, {UNFINISHED}: not finished"


def starred() -> str:
    """Return what a star says."""
    return "among these is the best of the column with 95 % confidence"


def markdown(table: Table) -> str:
    """Return a Markdown table with its notes as a list."""

    def mark(shown: str, rank: int | None) -> str:
        shown = shown.replace(STAR, f"\\{STAR}")
        return {1: f"**{shown}**", 2: f"<u>{shown}</u>"}.get(rank or 0, shown)

    columns = map(_plain_markdown, table.columns)
    lines = [f"**{_plain_markdown(table.title)}**", "", f"| method | {' | '.join(columns)} |"]
    lines.append("|---|" + "---:|" * len(table.columns))
    for _, title, cells in shown(table, mark):
        lines.append(f"| {_plain_markdown(title.strip())} | " + " | ".join(cells) + " |")
    legend = _legend(table).replace(",", ";")
    legend = legend.replace(STAR, f"\\{STAR}", 1)
    lines += ["", f"Bold: best; underlined: second; {legend}.", ""]
    notes = (" ".join(line.split()).replace("<", "\\<") for line in _lines(table))
    return "\n".join([*lines, *(f"- {line}" for line in notes)])


def _plain_markdown(name: str) -> str:
    """Return a name that somebody gave so that it is shown, and makes neither links nor markup."""
    return re.sub(r"([|<>`\[\]\\])", r"\\\1", " ".join(name.split()))


def comma_separated(table: Table) -> str:
    """Return CSV: one row per method; per column mean, sd and the ends of the interval.

    Last come the columns that say whether a row is among those that hold the best, yes or no,
    where that is known. A field is empty where there is nothing to say.
    """
    suffixes = ("", " sd", " low", " high")
    columns = [f"{column}{suffix}" for column in table.columns for suffix in suffixes]
    among = [place for place, column in enumerate(table.columns) if column in table.among_best]
    columns += [f"{table.columns[place]} among best" for place in among]
    head = ["method", "kind", "seeds finished", "seeds wanted", *columns]
    words = {None: "", True: "yes", False: "no"}
    lines = [
        [row.label.strip(), row.kind, str(row.finished), str(row.wanted)]
        + [part for value in row.values for part in _numbers(value)]
        + [words[table.may_be_best(row, place)] for place in among]
        for row in table.rows
    ]
    if any(table.objects):
        blank = [""] * (len(suffixes) - 1)
        counts = [part for text in objects(table) for part in (text, *blank)]
        lines.insert(0, [OBJECTS, "objects", "", "", *counts])
    return plain_csv(head, lines)


def plain_csv(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return lines of words and numbers as CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([head, *lines])
    return stream.getvalue()


def _numbers(value: Value | None) -> list[str]:
    if value is None:
        return [""] * 4
    found = [value.mean, value.sd, *(value.ci95 or (None, None))]
    return ["" if number is None else f"{number:.4f}" for number in found]


def latex(table: Table) -> str:
    r"""Return a tabular with \textbf and \underline; the notes are comments."""
    return "\n".join([*_comments(table), _marked(table, HLINES)])


def booktabs(table: Table) -> str:
    """Return a float with caption, label and the rules of the package booktabs."""
    name = re.sub(r"[^\w-]+", "-", table.name)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.title)}}}"]
    label = rf"\label{{tab:{name}}}"
    return "\n".join([*_comments(table), *head, label, _marked(table, BOOKTABS), r"\end{table}"])


def _comments(table: Table) -> list[str]:
    return [f"% {' '.join(line.split())}" for line in (table.title, *_lines(table))]


def _marked(table: Table, rules: Rules) -> str:
    def mark(shown: str, rank: int | None) -> str:
        shown = shown.replace("±", r"$\pm$").replace(STAR, r"$^{*}$")
        return {1: rf"\textbf{{{shown}}}", 2: rf"\underline{{{shown}}}"}.get(rank or 0, shown)

    body = [[_escape(title.strip()), *cells] for _, title, cells in shown(table, mark)]
    head = ["method", *map(_escape, table.columns)]
    return _tabular("l" + "r" * len(table.columns), [head, *body], rules)


def plain_latex(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return lines of words and numbers as a tabular."""
    return _tabular("l" * len(head), [[*map(_escape, line)] for line in (head, *lines)])


def _tabular(columns: str, lines: Sequence[Sequence[str]], rules: Rules = HLINES) -> str:
    """Return a tabular of cells that are LaTeX already; the first line is its head."""
    head, *body = (" & ".join(line) + r" \\" for line in lines)
    top, middle, bottom = rules
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([begin, top, f"{head}{middle}", *body, bottom, end])


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
    "booktabs": booktabs,
    "json": json_text,
}


def render(table: Table, form: Format) -> str:
    """Return the table in one of the formats."""
    return RENDERERS[form](table)
