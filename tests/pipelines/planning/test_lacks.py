"""Where data or weights are missing, every row says what it lacks, and the others run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stand_ins import start_checker

from fusion.errors import InputError
from fusion.weights import catalogue
from fusion.weights.catalogue import Published, WeightFile
from pipelines import work as steps
from pipelines.cli.app import main
from pipelines.cli.assets import weights as assets
from pipelines.planning import planner
from pipelines.planning.lacks import assumed_data, lacks_of
from pipelines.specs.loading import load_experiment
from pipelines.tasks.task import tasks
from pipelines.work import Work

Write = Callable[..., Path]
SHIP = {"name": "ship", "label": "SHIP", "checkpoint": "published"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSE_THEN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("FUSE_THEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "weights"


@pytest.mark.parametrize("table", ["table3", "table4", "table5"])
def test_a_plan_without_data_says_of_every_row_what_it_lacks(
    table: str, session_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The store of all: what each network computes is counted once.
    assert main(["plan", table, "--store", str(session_store)]) == 2
    out = capsys.readouterr().out
    lines = {line[2:].split("  ")[0]: line for line in out.splitlines() if "  data " in line}
    with assumed_data():
        rows = [method.row for method in load_experiment(table).methods]
    assert set(rows) <= lines.keys()
    assert "weights ship" in lines["SHIP"]
    assert "weights" not in lines["visible"]
    assert f"weights: fuse-then weights fetch --experiment {table}\n" in out
    assert "weights segmif, by hand: modelfusion-final2.pth from the Google Drive" in out
    assert "export FUSE_THEN_DATA=FOLDER" in out
    assert f"\n{len(rows)} blocked\n" in out
    assert "FUSE_THEN_DATA" not in os.environ


def test_what_is_there_is_not_lacking(write_experiment: Write, home: Path) -> None:
    path = write_experiment(methods=["average", SHIP], segmentation=None)
    lacks = lacks_of(load_experiment(str(path)))
    assert lacks.rows == {"SHIP": ("weights ship",)}
    assert (lacks.datasets, [entry.name for entry in lacks.weights]) == ((), ["ship"])
    (home / "ship").mkdir(parents=True)
    (home / "ship" / "SHIP_model.pth").write_bytes(b"x")
    assert not lacks_of(load_experiment(str(path))).rows


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Work]:
    start = planner.make_plan
    monkeypatch.setattr(steps, "make_plan", lambda *given: start(*given, start_checker))
    return lambda *skip: Work(str(tmp_path / "store"), "cpu", 1, *skip)


def test_blocked_rows_stop_a_run_unless_they_are_skipped(
    write_experiment: Write, work: Callable[..., Work], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_experiment(methods=["average", SHIP], segmentation=None))
    with pytest.raises(InputError, match=r"weights fetch ship`(.|\n)*run with --skip-blocked\.$"):
        work().plan(path, None, tasks())
    plan = work(True).plan(path, None, tasks())
    assert [cell.method.row for cell in plan.cells] == ["average"]
    assert "left out  SHIP / detection / seed 0: The published" in capsys.readouterr().err


def test_where_all_rows_are_blocked_nothing_is_skipped(
    write_experiment: Write, work: Callable[..., Work]
) -> None:
    path = str(write_experiment(methods=[SHIP], segmentation=None))
    with pytest.raises(InputError) as error:
        work(True).plan(path, None, tasks())
    assert "--skip-blocked" not in str(error.value)


def test_the_option_reaches_the_flow(write_experiment: Write) -> None:
    asked: list[Any] = []

    def compare(*_: Any, **given: Any) -> None:
        asked.append(given)
        raise InputError("seen")

    fake = SimpleNamespace(compare=compare)
    path = str(write_experiment())
    for words in ([], ["--skip-blocked"], ["--paranoid"]):
        assert main(["compare", path, *words], flows=lambda: nullcontext(fake)) == 2
    assert asked == [{}, {"skip_blocked": True}, {"paranoid": True}]


def test_all_that_an_experiment_lacks_is_fetched_and_the_rest_said(
    write_experiment: Write,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = (
        Published("ship", "MIT", (WeightFile("s.pth", "a page", "https://example.org/s.pth"),)),
        Published("segmif", "none", (WeightFile("m.pth", "a drive"),)),
    )
    monkeypatch.setattr(catalogue, "published", lambda: known)
    really = assets.fetch

    def fetch(file: WeightFile, target: Path, *given: Any) -> None:
        if file.url is None:
            really(file, target, *given)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"weights")

    monkeypatch.setattr(assets, "fetch", fetch)
    segmif = {"name": "segmif", "checkpoint": "published"}
    path = str(write_experiment(methods=["average", segmif, SHIP], segmentation=None))
    assert main(["weights", "fetch", "--experiment", path]) == 2
    said = capsys.readouterr()
    assert said.out.strip() == str(home / "ship" / "s.pth")  # though segmif came first
    assert f"get it by hand from a drive and put it at {home / 'segmif' / 'm.pth'}" in said.err
    (home / "segmif").mkdir()
    (home / "segmif" / "m.pth").write_bytes(b"weights")
    assert main(["weights", "fetch", "--experiment", path]) == 0
    assert "tiny lacks no published weights." in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["ship", "--experiment", "table4"]])
def test_either_a_checkpoint_or_an_experiment_is_fetched(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["weights", "fetch", *words]) == 2
    assert "either a checkpoint or, with --experiment, an experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "said"),
    [("text", "ship 86.5 94.4"), ("md", "| ship | 86.5 |"), ("csv", "ship,paper,1,1,86.5000")],
)
def test_the_paper_command_prints_what_the_paper_printed(
    form: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["paper", "table4", "--format", form]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert said in out
    assert form == "csv" or "Stated by the paper: model YOLOv5, epochs 1000, batch 128," in out


def test_an_unknown_table_of_the_paper_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "tabel4"]) == 2
    assert (
        'There is no "tabel4" in configs/paper. Did you mean "table4"?' in capsys.readouterr().err
    )
