"""A table as text: what is marked on a terminal is not claimed in a pipe, and nothing is cut."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest

from fusion.errors import InputError
from pipelines.results.values import Row, Table, Value
from pipelines.views.formats import RENDERERS, plain_csv, plain_latex, render, text

CODES = ("\033[1m", "\033[4m", "\033[0m")


@pytest.fixture
def table() -> Table:
    best = (Value(70.0, 1.2, 3, (65.0, 75.5)), None, Value(3.0, None, 1))
    second = (Value(60.0, 10.2, 3), None, Value(5.0, None, 1))
    rows = (
        Row("LKC-FUNet [tiny]", "ours", best, 3, 3),
        Row("visible", "ours", second, 2, 3),
        Row("average", "ours", (None,) * 3, 0, 3),
    )
    columns = ("AP50 People", "[b]Car", "mAP50")
    notes = ("A note.", "Another " + "long " * 60 + "note.")
    return Table("tiny: detection", "detection", columns, rows, notes, ("it deviates",), "tiny")


def test_text_holds_every_number_and_note(table: Table) -> None:
    lines = text(table, styled=False).splitlines()
    cells = [line.split("  ") for line in lines]
    words = [[part.strip() for part in line if part.strip()] for line in cells]
    assert lines[:2] == ["tiny: detection", ""]
    assert words[2] == ["method", "AP50 People", "[b]Car", "mAP50"]
    assert words[4:8] == [
        ["LKC-FUNet [tiny]", "70.0 ±1.2", "-", "3.0"],
        ["95 %", "[65.0, 75.5]"],
        ["visible (2 of 3 seeds)", "60.0 ±10.2", "-", "5.0"],
        ["average", "...", "...", "..."],
    ]
    assert lines[-3:] == [*table.notes, "Deviation: it deviates"]
    assert not any(line != line.rstrip() for line in lines)


def test_marks_are_claimed_where_they_are_seen_only(table: Table) -> None:
    plain, styled = text(table, styled=False), text(table, styled=True)
    assert not any(code in plain for code in CODES)
    assert "bold" not in plain
    assert "\n-: class absent or not printed, ...: not finished\n" in plain
    assert "\033[1m70.0 ±1.2\033[0m" in styled
    assert "\033[4m60.0 ±10.2\033[0m" in styled
    assert "bold: best, underlined: second, -: class absent" in styled
    for code in CODES:
        styled = styled.replace(code, "")
    assert styled.replace("bold: best, underlined: second, ", "") == plain


def test_a_star_marks_those_that_hold_the_best_in_every_form(table: Table) -> None:
    starred = replace(table, among_best={"mAP50": ("LKC-FUNet [tiny]",)})
    lines = text(starred, styled=False).splitlines()
    assert lines[4].split()[-1] == "3.0*"
    assert lines[6].split()[-1] == "5.0"
    assert len(lines[6]) == len(lines[4]) - 1  # the digits stand beneath each other
    told = "among these is the best of the column with 95 % confidence"
    assert f"\n*: {told}, -: class absent" in "\n".join(lines)
    assert r"| <u>3.0\*</u> |" in render(starred, "md")
    assert rf"\*: {told}" in render(starred, "md")
    assert r"\underline{3.0$^{*}$}" in render(starred, "latex")
    head, first, second, none = render(starred, "csv").splitlines()
    assert head.endswith("mAP50 high,mAP50 among best")
    assert [line.rsplit(",", 1)[1] for line in (first, second, none)] == ["yes", "no", "no"]
    assert told not in text(table, styled=False)


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_text_is_styled_on_a_terminal(
    table: Table, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Stream(terminal))
    assert render(table, "text") == text(table, styled=terminal)


def test_a_wide_table_is_neither_cut_nor_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    columns = tuple(f"AP50 of class {number}" for number in range(90))
    row = Row("visible", "ours", (Value(12.3, None, 1),) * 90, 1, 1)
    wide = Table("t", "detection", columns, (row,), (), (), "t")
    lines = text(wide, styled=False).splitlines()
    assert all(column in lines[2] for column in columns)
    assert lines[4].split() == ["visible", *["12.3"] * 90]


@pytest.mark.parametrize("form", [form for form in RENDERERS if form != "text"])
def test_files_have_no_terminal_codes(form: str, table: Table) -> None:
    assert "\033" not in render(table, form)  # type: ignore[arg-type]


def test_booktabs_is_a_float_with_its_rules(table: Table) -> None:
    lines = render(replace(table, name="tiny yolov5n, 2"), "booktabs").splitlines()
    body = [line for line in lines if not line.startswith("%")]
    assert body[:6] == [
        *(r"\begin{table}", r"\centering", r"\caption{tiny: detection}"),
        *(r"\label{tab:tiny-yolov5n-2}", r"\begin{tabular}{lrrr}", r"\toprule"),
    ]
    assert body[7] == r"\midrule"
    assert body[-3:] == [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    assert lines[: len(lines) - len(body)][-1] == "% Deviation: it deviates"


def test_an_excerpt_has_some_columns_in_the_order_asked_for(table: Table) -> None:
    whole = replace(table, objects=(9, 8, 7), among_best={"mAP50": ("visible",)})
    found = whole.excerpt(["mAP50", "AP50 People"], intervals=False)
    assert found.columns == ("mAP50", "AP50 People")
    assert found.objects == (7, 9)
    assert found.among_best == {"mAP50": ("visible",)}
    assert [value and value.mean for value in found.rows[0].values] == [3.0, 70.0]
    assert "[65.0, 75.5]" not in text(found, styled=False)
    assert whole.excerpt(whole.columns) == whole
    with pytest.raises(InputError, match=r'no column "mAP5".*Did you mean "mAP50"'):
        whole.excerpt(["mAP5"])


def test_plain_lines_are_quoted_and_escaped() -> None:
    head, lines = ("task", "score, in %"), [("detection", "mAP50 60.0"), ("a_b", 'say "x"')]
    assert plain_csv(head, lines) == ('task,"score, in %"\ndetection,mAP50 60.0\na_b,"say ""x"""\n')
    assert plain_latex(head, lines).splitlines() == [
        *(r"\begin{tabular}{ll}", r"\hline", r"task & score, in \% \\ \hline"),
        *(r"detection & mAP50 60.0 \\", r'a\_b & say "x" \\', r"\hline", r"\end{tabular}"),
    ]


def test_how_many_objects_a_column_rests_on_stands_under_its_head() -> None:
    values = (Value(50.0, None, 1), Value(40.0, None, 1), Value(45.0, None, 1))
    rows = (Row("visible", "ours", values, 1, 1),)
    columns, objects = ("People", "Lamp", "mAP50"), (120, None, 124)
    table = Table("t", "detection", columns, rows, (), (), "detection", objects=objects)
    (line,) = (one for one in render(table, "text").splitlines() if "objects (test)" in one)
    assert line.split() == ["objects", "(test)", "120", "124"]
    assert "| objects (test) | 120 |  | 124 |" in render(table, "md")
    assert r"objects (test) & 120 &  & 124 \\" in render(table, "latex")
    assert "objects (test),objects,,,120,,,,,,,,124,,," in render(table, "csv")
    assert json.loads(render(table, "json"))["objects"] == [120, None, 124]
    without = render(replace(table, objects=()), "text")
    assert "objects (test)" not in without
