"""Labels, names and notes that are markup, paths or commands elsewhere: shown, and nothing more."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from made_report import Made, Make
from readings import tables_of

from pipelines.results.finished import read_results
from pipelines.views.formats import render
from pipelines.views.pictures import gather_pictures
from pipelines.views.tracking.metrics import metric_name
from pipelines.views.tracking.models import registered_name

LABELS = (
    "<script>alert(1)</script>",
    "../../a/b",
    "[link](javascript:alert(1)) `code` | cell",
    r"\input{/etc/passwd} $x$ % & # _ ^ ~",
    "=cmd|' /C calc'!A0",
    "\u591c\u666f " + "\U0001f642" * 40,
    "x" * 300,
)
DATASET = "a/b <b>"
NOTE = "first\n\\input{/etc/passwd}\n<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def hostile(make: Make, scenes_root: Path) -> Made:
    methods = [{"name": "average", "label": label} for label in LABELS]
    data = {"name": DATASET, "layout": "msrs", "root": str(scenes_root / "msrs")}
    scoring = {"dataset": data, "metrics": ["SD"]}
    changes = {"methods": methods, "scoring": scoring, "deviations": [NOTE], "seeds": [0]}
    return make(**changes, detection=None, segmentation=None, paper=None)


def rendered(hostile: Made, form: str) -> str:
    (table, *_) = tables_of(hostile.plan, hostile.store)
    return render(table, form)  # type: ignore[arg-type]


def test_markdown_shows_them(hostile: Made) -> None:
    text = rendered(hostile, "md")
    assert not re.search(r"(?<!\\)<(?!/?u>)", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {lines[0].count("|")}


@pytest.mark.parametrize("form", ["latex", "booktabs"])
def test_latex_shows_them(hostile: Made, form: str) -> None:
    for line in rendered(hostile, form).splitlines():
        assert line.startswith("%") or r"\input" not in line


def test_csv_and_json_hold_them(hostile: Made) -> None:
    rows = list(csv.reader(io.StringIO(rendered(hostile, "csv"))))
    assert {label for row in rows for label in row} >= set(LABELS)
    assert {row["label"] for row in json.loads(rendered(hostile, "json"))["rows"]} >= set(LABELS)


def test_files_are_named_after_them_and_stay_in_their_folder(hostile: Made) -> None:
    results = read_results(hostile.plan, hostile.store)
    folder = gather_pictures(results, tables_of(hostile.plan, hostile.store))
    names = [path.name for path in folder.rglob("*")]
    assert any(name.startswith("comparison-a_b_b_") for name in names)
    assert all(len(name.encode()) <= 255 and name.isprintable() for name in names)
    assert {path.parent for path in folder.rglob("*")} == {folder}


@pytest.mark.parametrize("label", LABELS)
def test_mlflow_takes_them(label: str) -> None:
    assert re.fullmatch(r"[/\w.\- ]{1,250}", metric_name(f"AP/{label}"))
    assert re.fullmatch(r"[\w-]{1,250}", registered_name(label))
