from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readings import tables_of
from stages import by_hand, facts

from fusion.errors import InputError
from pipelines.execution.runner import Step
from pipelines.planning.plan import Cell, Plan
from pipelines.results.protocol import printed as paper_tables
from pipelines.results.protocol.deviations import deviations
from pipelines.results.protocol.printed import read_paper_table
from pipelines.results.statistics.bootstrap import intervals
from pipelines.results.values import Row, Table, Value
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import Stage
from pipelines.store.store import Store
from pipelines.tasks.scoring import SCORES, write_scores
from pipelines.tasks.task import task_of
from pipelines.views.formats import RENDERERS, render, text

CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
Scores = Mapping[str, list[float | None]]
Make = Callable[..., Table]


def detection(score: float | None) -> dict[str, Any]:
    absent = {name: (None if name == "Lamp" else score) for name in CLASSES}
    return {"AP50": absent, "AP": absent, "mAP50": score, "mAP": score}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def spec_of(methods: list[str], seeds: list[int], **changes: Any) -> ExperimentSpec:
    overrides = {"methods": methods, "seeds": seeds, "segmentation": None, **changes}
    return load_experiment("smoke", overrides)


@pytest.fixture
def table(store: Store) -> Make:
    """Make the detection table of finished scores by method and seed; None is not finished."""

    def make(scores: Scores, **changes: Any) -> Table:
        seeds = list(range(max(map(len, scores.values()))))
        spec = spec_of(list(scores), seeds, **changes)
        cells = []
        for method in spec.methods:
            for seed, score in zip(seeds, scores[method.name], strict=True):
                stage = by_hand("detect", 1, {"method": method.row, "seed": seed})
                cells.append(Cell(method, task_of("detection"), seed, (Step("x", (stage,)),)))
                if score is not None:
                    with store.claim(stage, keep=False):
                        store.commit(stage, facts(metrics=detection(score)))
        (made,) = tables_of(Plan(spec, tuple(cells), ()), store, "detection")
        return made

    return make


def row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label.strip() == label)


def test_a_row_is_the_mean_and_deviation_over_seeds(table: Make) -> None:
    made = table({"visible": [0.5, 0.6, 0.7], "infrared": [0.4, 0.4, 0.4]})
    value = row(made, "visible").values[0]
    assert value is not None
    assert (value.mean, value.sd, value.seeds) == (
        pytest.approx(60.0),
        pytest.approx(10.0),
        3,
    )
    assert made.columns == (*CLASSES, "mAP50", "mAP50-95")
    assert "Mean and standard deviation over 3 seeds." in made.notes
    assert "60.0 ±10.0" in render(made, "text")


def test_one_seed_has_no_deviation(table: Make) -> None:
    made = table({"visible": [0.5]})
    assert made.rows[0].values[0] == Value(50.0, None, 1)
    assert "±" not in render(made, "text")
    assert not any("standard deviation" in note for note in made.notes)


def test_an_absent_class_is_a_dash_and_not_a_zero(table: Make) -> None:
    made = table({"visible": [0.5], "infrared": [None]})
    lamp = CLASSES.index("Lamp")
    assert row(made, "visible").values[lamp] is None
    cells = [line.split() for line in render(made, "text").splitlines()]
    shown = next(line for line in cells if line[:1] == ["visible"])
    assert shown[1 + lamp] == "-"
    assert shown.count("-") == 1


def test_what_is_not_finished_is_marked_and_partial_seeds_are_counted(table: Make) -> None:
    made = table({"visible": [0.5, None, 0.7], "infrared": [None, None, None]})
    text = render(made, "text")
    assert "visible (2 of 3 seeds)" in text
    line = next(line for line in text.splitlines() if line.startswith("infrared"))
    assert line.split()[1:] == ["..."] * 8
    value = row(made, "visible").values[0]
    assert value is not None
    assert value.mean == pytest.approx(60.0)


def test_best_and_second_are_marked_and_ties_share(table: Make) -> None:
    made = table({"visible": [0.7], "infrared": [0.7], "average": [0.6], "maximum": [0.5]})
    ranks = [made.rank(row, 0) for row in made.rows]
    assert ranks == [1, 1, 2, None]
    assert text(made, styled=True).count("\033[1m70.0\033[0m") == 2 * 7
    assert text(made, styled=True).count("\033[4m60.0\033[0m") == 7
    assert render(made, "md").count("**70.0**") == 2 * 7
    assert render(made, "md").count("<u>60.0</u>") == 7
    assert r"\textbf{70.0}" in render(made, "latex")
    assert r"\underline{60.0}" in render(made, "latex")


def test_a_single_value_is_neither_best_nor_worst(table: Make) -> None:
    made = table({"visible": [0.7], "infrared": [None]})
    assert [made.rank(row, 0) for row in made.rows] == [None, None]


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configs" / "paper"
    folder.mkdir(parents=True)
    (folder / "table4.csv").write_text("# note\nmethod,People,Car,mAP50\nvisible,40.0,,65.5\n")
    monkeypatch.setattr(paper_tables.resources, "files", lambda package: folder.parent)


def test_the_papers_row_and_the_difference_stand_beneath_ours(
    table: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        paper_tables, "read_paper_table", lambda *_: {"visible": {"People": 40.0, "Car": None}}
    )
    made = table({"visible": [0.5], "infrared": [0.4]}, paper={"detection": "table4"})
    assert [(r.label.strip(), r.kind) for r in made.rows] == [
        ("visible", "ours"),
        ("paper", "paper"),
        ("difference", "difference"),
        ("infrared", "ours"),
    ]
    assert made.rows[2].values[0] == Value(pytest.approx(10.0), None, 1)
    assert made.rows[2].values[1] is None
    assert [made.rank(r, 0) for r in made.rows] == [1, None, None, 2]
    assert "The paper's table4 prints no row for: infrared" in made.notes[0]
    assert "+10.0" in render(made, "text")
    assert any(
        text.startswith("Settings that differ from the paper's: ") for text in made.deviations
    )


def test_the_difference_of_an_unfinished_row_is_unfinished(
    table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_tables, "read_paper_table", lambda *_: {"visible": {"People": 40.0}})
    made = table({"visible": [None]}, paper={"detection": "table4"})
    line = next(x for x in render(made, "text").splitlines() if x.startswith("  difference"))
    assert set(line.split()[1:]) == {"..."}


def test_printed_tables_are_read_with_gaps(paper: None) -> None:
    assert read_paper_table("table4") == {"visible": {"People": 40.0, "Car": None, "mAP50": 65.5}}
    with pytest.raises(InputError, match=r'no "tabel4" in configs/paper.*mean "table4"'):
        read_paper_table("tabel4")


def test_a_printed_table_in_parts_gives_the_rows_of_one(paper: None) -> None:
    path = Path(str(paper_tables.resources.files("configs"))) / "paper" / "table4.csv"
    path.write_text("method,part,SD\nlkc_funet,CT,94.0\nlkc_funet,PET,78.3\n")
    assert read_paper_table("table4", "PET") == {"lkc_funet": {"SD": 78.3}}
    assert read_paper_table("table4") == {}


@pytest.mark.parametrize("number", range(1, 6))
def test_shipped_tables_of_the_paper_have_our_columns(number: int) -> None:
    name, task = f"table{number}", {4: "detection", 5: "segmentation"}.get(number, "scoring")
    spec = load_shipped(name).sections[task]
    folder = Path(paper_tables.__file__).parents[3] / "configs" / "paper"
    columns = (folder / f"{name}.csv").read_text().splitlines()[0].split(",")[1:]
    if task == "scoring":
        assert set(columns) - {"part"} == set(spec.metrics)
        assert ("part" in columns) == spec.by_part
    else:
        assert set(columns) <= set(task_of(task).columns(spec))


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5", "medical-real"])
def test_every_printed_score_stands_beneath_a_row_of_ours(name: str) -> None:
    experiment = load_shipped(name)
    ((task, table),) = experiment.paper.items()
    spec = experiment.sections[task]
    assert table is not None
    for part in spec.dataset.parts if getattr(spec, "by_part", False) else ("",):
        printed = read_paper_table(table, part)
        assert printed
        assert printed.keys() <= {x for m in experiment.methods for x in (m.row, m.name)}


def load_shipped(name: str) -> ExperimentSpec:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSE_THEN_DATA", "/data")
        return load_experiment(name)


def test_every_known_deviation_is_told(table: Make) -> None:
    made = table({"visible": [0.5]}, deviations=["our own"])
    told = " ".join(made.deviations)
    assert "anchor-free" in told
    assert "Cb and Cr" in told
    assert "embedded scenes" in told
    assert "our own" in told


def test_a_drawn_split_is_told_with_its_seed_and_ratios(tmp_path: Path) -> None:
    data = {"name": "mine", "layout": "m3fd", "root": str(tmp_path)}
    spec = spec_of(
        ["visible"],
        [0],
        **{"detection.dataset": {**data, "split": {"ratios": [7, 1, 2], "seed": 5}}},
    )
    told = deviations(spec, task_of("detection"))
    assert any("split of mine is not published; ours is drawn by seed 5, 7:1:2" in t for t in told)


def test_segmentation_scores_come_from_their_own_metrics() -> None:
    metrics = {"iou": {"car": 0.5, "bump": None}, "miou": 0.5, "miou_foreground": 0.4}
    dataset = {"name": "d", "layout": "msrs", "root": "/d", "classes": ["car", "bump"]}
    task = task_of("segmentation")
    spec = task.section(dataset=dataset, epochs=1)
    assert task.scores is not None
    assert task.scores(metrics, spec) == [0.5, None, 0.5, 0.4]


@pytest.fixture
def strange(table: Make) -> Table:
    made = table({"visible": [0.5, 0.6], "infrared": [0.4, 0.3], "average": [0.2, 0.1]})
    first = replace(made.rows[0], label=r"50% & A_b #1 | {x} ^~\ ")
    return replace(made, rows=(first, *made.rows[1:]), columns=("a_b", *made.columns[1:]))


def test_csv_parses_back(strange: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(render(strange, "csv"))))
    assert [line["kind"] for line in lines] == ["ours"] * 3
    assert lines[0]["method"] == strange.rows[0].label.strip()
    assert float(lines[0]["a_b"]) == pytest.approx(55.0)
    assert float(lines[0]["a_b sd"]) == pytest.approx(7.0711)
    assert (lines[0]["Lamp"], lines[0]["Lamp sd"]) == ("", "")
    assert (lines[0]["seeds finished"], lines[0]["seeds wanted"]) == ("2", "2")


def test_json_parses_back_unrounded(strange: Table) -> None:
    data = json.loads(render(strange, "json"))
    assert data["rows"][0]["values"][0]["mean"] == pytest.approx(55.0)
    assert data["rows"][0]["values"][3] is None
    assert data["columns"][0] == "a_b"
    assert data["deviations"] == list(strange.deviations)


def test_latex_is_escaped(strange: Table) -> None:
    text = render(strange, "latex")
    assert r"50\% \& A\_b \#1 | \{x\} \textasciicircum{}\textasciitilde{}\textbackslash{}" in text
    assert r"method & a\_b & Car" in text
    assert r"\textbf{55.0 $\pm$ 7.1}" in text.replace(r"$\pm$7.1", r"$\pm$ 7.1")
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert all(line.replace(r"\&", "").count("&") == len(strange.columns) for line in body)


def test_markdown_keeps_its_columns(strange: Table) -> None:
    lines = [line for line in render(strange, "md").splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert {line.replace(r"\|", "").count("|") for line in lines} == {len(strange.columns) + 2}


def test_text_columns_are_aligned(strange: Table) -> None:
    text = render(strange, "text")
    for code in ("\033[1m", "\033[4m", "\033[0m"):
        text = text.replace(code, "")
    lines = text.splitlines()
    rule = next(line for line in lines if set(line) == {"-", " "})
    end = lines.index("", 2)
    body = [x for x in lines[:end] if x.startswith(("method", "50%", "infrared", "average"))]
    assert len(body) == 4
    assert {len(line) for line in body} == {len(rule)}


@pytest.fixture
def scored(store: Store) -> Make:
    """Make the table of scores of methods with these images x (SD, SCD, MSE), by seed."""

    def make(scores: Mapping[str, list[list[list[float]]]], **changes: Any) -> Table:
        dataset = {"name": "d", "layout": "pairs", "root": "/d"}
        scoring = {"dataset": dataset, "metrics": ["SD", "SCD", "MSE"]}
        seeds = list(range(max(map(len, scores.values()))))
        spec = spec_of(list(scores), seeds, detection=None, scoring=scoring, **changes)
        cells = []
        for method in spec.methods:
            for seed, values in enumerate(scores[method.name]):
                stage = by_hand("score", 1, {"method": method.row, "seed": seed})
                cells.append(Cell(method, task_of("scoring"), seed, (Step("x", (stage,)),)))
                if values:
                    commit_scores(store, stage, np.array(values))
        (made,) = tables_of(Plan(spec, tuple(cells), ()), store, "scoring")
        return made

    return make


def commit_scores(store: Store, stage: Stage, values: Any) -> None:
    metrics = ("SD", "SCD", "MSE")
    entries: dict[str, Any] = {metric: {} for metric in metrics}
    entries["SCD"] = {"undefined": {"it is the source": 1}}
    with store.claim(stage, keep=False) as out:
        names = [f"i{n}" for n in range(len(values))]
        write_scores(out / SCORES, names, metrics, values)
        store.commit(stage, facts(metrics={"metrics": entries}))


NAN = float("nan")
SCORED = {
    "average": [[[10.0, 1.0, 5.0], [20.0, NAN, 7.0], [30.0, 2.0, 9.0]]],
    "maximum": [[[20.0, NAN, 4.0], [30.0, NAN, 6.0], [40.0, NAN, 8.0]]],
    "laplacian": [[[20.0, 3.0, 1.0], [30.0, 3.0, 1.0], [40.0, 3.0, 1.0]]],
}


def test_scores_are_means_over_defined_images_in_their_own_units(scored: Make) -> None:
    made = scored(SCORED)
    assert made.columns == ("SD", "SCD", "MSE", "mean rank")
    first = row(made, "average").values
    assert [v and v.mean for v in first[:3]] == [20.0, 1.5, 7.0]
    assert [v and v.sd for v in first[:3]] == [None] * 3
    assert row(made, "maximum").values[1] is None
    notes = " ".join(made.notes)
    assert (
        "average: SCD is undefined for 1 of 3 images, which are left out of its mean (it is "
        "the source)." in notes
    )
    assert "maximum: SCD is undefined for 3 of 3 images" in notes
    assert "laplacian: " not in notes
    assert 'convention "paper"' in notes


def test_of_scores_the_right_end_is_best_and_equal_ones_share(scored: Make) -> None:
    made = scored(SCORED)
    ranks = {r.label: [made.rank(r, c) for c in range(4)] for r in made.rows}
    # SD and SCD high, MSE and the mean rank low; a dash has no rank
    assert ranks["laplacian"] == [1, 1, 1, 1]
    assert ranks["maximum"] == [1, None, 2, 2]
    assert ranks["average"] == [2, 2, None, None]
    means = {r.label: v.mean for r in made.rows if (v := r.values[3]) is not None}
    # places: SD 3 1.5 1.5, SCD 2 - 1, MSE 3 2 1
    assert means == pytest.approx({"average": 8 / 3, "maximum": 1.75, "laplacian": 3.5 / 3})


def test_seeds_are_averaged_and_their_intervals_are_of_images(scored: Make) -> None:
    one = [[10.0, 1.0, 5.0], [20.0, 1.0, 5.0], [30.0, 1.0, 5.0]]
    other = [[sd + 2, NAN if n == 0 else 1.5, 5.0] for n, (sd, _, _) in enumerate(one)]
    made = scored({"average": [one, other], "maximum": [one, []]})
    sd, scd, _, _ = row(made, "average").values
    assert sd is not None
    assert scd is not None
    assert (sd.mean, sd.sd, sd.seeds) == (21.0, pytest.approx(2**0.5), 2)
    assert sd.ci95 == pytest.approx(intervals(np.array([[11.0], [21.0], [31.0]]))[0])
    assert scd.mean == 1.25  # over the images that are defined for both seeds
    assert row(made, "maximum").finished == 1
    assert "maximum (1 of 2 seeds)" in render(made, "text")


def test_intervals_stand_beneath_their_row_in_every_format(scored: Make) -> None:
    made = scored({**SCORED, "infrared": [[]]})
    lines = render(made, "text").splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("average"))
    assert lines[place + 1].startswith("  95 %")
    assert "[10.000, 30.000]" in lines[place + 1]
    assert next(x for x in lines if x.startswith("infrared")).split()[1:] == ["..."] * 4
    widths = {len(x.rstrip()) for x in lines if x.startswith("--")}
    assert all(len(x) <= max(widths) + 16 for x in lines[2 : place + 2])
    assert "| 95 % | [10.000, 30.000] |" in render(made, "md")
    assert "95 \\% & [10.000, 30.000]" in render(made, "latex")
    found = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert (found[0]["SD"], found[0]["SD low"], found[0]["SD high"]) == (
        "20.0000",
        "10.0000",
        "30.0000",
    )
    assert found[3]["SD low"] == ""
    data = json.loads(render(made, "json"))
    assert data["rows"][0]["values"][0]["ci95"] == [10.0, 30.0]
    assert "undefined or not printed" in lines[-1 - len(made.notes) - len(made.deviations)]


def test_the_papers_scores_stand_beneath_the_row_of_that_label_or_name(
    scored: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {"average": {"SD": 21.5, "SCD": None}}
    monkeypatch.setattr(paper_tables, "read_paper_table", lambda *_: printed)
    made = scored(SCORED, paper={"scoring": "table3"})
    assert [r.label.strip() for r in made.rows][:3] == ["average", "paper", "difference"]
    assert made.rows[2].values[0] == Value(-1.5, None, 1)
    assert "-1.500" in render(made, "text")
    assert made.rows[1].values[3] is None


@pytest.mark.parametrize("form", RENDERERS)
def test_no_format_needs_a_finished_cell(table: Make, form: Any) -> None:
    assert render(table({"visible": [None], "infrared": [None]}), form)
