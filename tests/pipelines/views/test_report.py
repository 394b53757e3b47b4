"""What a report says: its content and sentences, from whatever is finished."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from made_report import Made, Make, Tree, planned
from stages import rewrite

from detection.ap import evaluate
from fusion.errors import InputError
from pipelines.cli.app import app, main
from pipelines.cli.publish import page_path
from pipelines.planning.plan import Cell
from pipelines.results.conclusions import wording
from pipelines.results.conclusions.evidence import Difference, Evidence
from pipelines.results.values import Row, Table, Value
from pipelines.store.store import Store
from pipelines.tasks.detection import read
from pipelines.views.report.detections import shown
from pipelines.views.report.examples import mean_over_seeds, most_different
from pipelines.views.report.page import page
from pipelines.views.report.sentences import finding, unsupported


def test_the_area_below_a_curve_is_its_ap50(made: Made) -> None:
    report = made.report()
    (part,) = [part for part in report.tasks if part.evidence.table.task == "detection"]
    table = part.evidence.table
    rows = {row.label: row for row in table.rows if row.kind == "ours"}
    assert part.curves
    for name, lines in part.curves.items():
        assert [line.method for line in lines] == list(rows)
        for line in lines:
            value = rows[line.method].values[table.columns.index(name)]
            assert value is not None
            assert 100 * sum(line.y) / len(line.y) == pytest.approx(value.mean)


def test_curves_are_those_of_the_evaluation(made: Made) -> None:
    classes = made.plan.cells[0].result.local["dataset"]["classes"]
    (cell, *_) = [cell for cell in made.plan.cells if cell.task.name == "detection"]
    folder = made.store.directory(cell.result)
    files = (folder / f"{name}.json" for name in ("ground_truth", "predictions"))
    theirs = evaluate(*(json.loads(file.read_text()) for file in files), classes).curves
    spec = made.plan.experiment.sections["detection"]
    ours = shown(0, read(folder, spec)).curves
    assert ours.keys() == theirs.precision.keys()
    for name, curve in ours.items():
        assert curve == pytest.approx(theirs.precision[name], abs=1e-12)


def test_confusions_are_summed_over_seeds(made: Made) -> None:
    report = made.report()
    (part,) = [part for part in report.tasks if part.confusions]
    assert list(part.confusions) == [row for row, _ in report.methods]
    assert all(matrix.sum() == 2 * 4 * 96 * 96 for matrix in part.confusions.values())


def test_strips_show_sources_and_all_methods_with_their_misses(made: Made, html: str) -> None:
    report = made.report()
    boxes, masks = (part for part in report.tasks if part.strips)
    rows = [row for row, _ in report.methods]
    for strip in boxes.strips:
        assert [p.title for p in strip.pictures] == ["infrared image", "visible image", *rows]
        objects = len(strip.pictures[0].marks)
        for picture in strip.pictures[2:]:
            kinds = Counter(mark.kind for mark in picture.marks)
            assert kinds["hit"] + kinds["missed"] == objects
            assert picture.remark.startswith(f"{kinds['hit']} of {objects} found")
            assert kinds["hit"] == kinds["found"]
    for strip in masks.strips:
        first = ("infrared image", "visible image", "ground truth")
        assert tuple(p.title for p in strip.pictures[:3]) == first
        sides = [picture.layer.side if picture.layer else None for picture in strip.pictures]
        assert sides == [None, None, "truth", *["prediction"] * len(rows)]
        assert strip.outline
    assert "object missed" in html
    assert "Chosen because the methods differ most" in html


def test_every_cell_has_its_origin_and_a_command_that_makes_it(made: Made) -> None:
    report = made.report([str(made.file), "--set", "detection.epochs=1"])
    assert len(report.cells) == len(made.plan.cells)
    for record, cell in zip(report.cells, made.plan.cells, strict=True):
        assert record.facts["stage"] == cell.result.title
        words = shlex.split(record.again)
        assert words[0] == "fuse-then"
        _, bound, _ = app.parse_args(words[1:])
        plan = planned(made.file, made.store, bound.arguments["options"].overrides)
        (alone,) = [one for one in plan.cells if one.task == cell.task]
        assert alone.result.key == cell.result.key
    assert report.cells[0].facts["score"].startswith("mAP50 ")
    assert len(report.cells[0].facts["weights"]) == 16


def test_one_seed_is_named_as_a_limit(make: Make) -> None:
    made = make(seeds=[3], methods=["visible", "average"], scoring=None, segmentation=None)
    text = Tree(made.page()).text
    assert "2 methods, 1 seed (3)" in text
    assert "How much another training would change a number: there is one seed." in text
    assert "drawn is each method's first, seed 3." in text


def test_one_method_leaves_sentences_not_holes(make: Make) -> None:
    text = Tree(make(methods=["visible"], paper=None).page()).text
    assert "No other method is finished, so nothing is compared" in text
    assert "There are no differences to draw: that takes two finished methods." in text
    assert "None: that takes two finished methods that differ on a test image." in text
    assert "Places in" not in text


def test_a_partial_store_shows_what_is_there(make: Make) -> None:
    def keep(cell: Cell) -> bool:
        return cell.task.name == "detection" and cell.method.row != "average" and cell.seed == 0

    text = Tree(make(keep, scoring=None).page()).text
    assert "Unfinished: 13 of 16 cells are not finished" in text
    assert "mIoU: no method is finished yet." in text
    assert "visible (1 of 2 seeds)" in text
    assert "average (0 of 2 seeds)" in text
    assert "No test images scored yet" in text


def test_nothing_finished_is_a_page_too(make: Make) -> None:
    text = Tree(make(lambda _: False).page()).text
    assert "0 of 24 cells finished" in text
    assert "The store holds no training curve." in text
    assert "The store holds no finished fusing stage." in text


def test_scoring_alone(make: Make) -> None:
    text = Tree(make(detection=None, segmentation=None, paper=None).page()).text
    assert "mean rank: " in text
    assert "Where the methods differ most" not in text
    assert "SD, difference to" in text
    assert "MSE, difference to" in text
    assert "Lower is better." in text
    assert "Fusion network: total loss" in text


def test_cells_that_cannot_run_are_told_with_their_reason(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    absent = {"name": "precomputed", "label": "theirs", "params": {"folder": str(folder)}}
    text = Tree(make(methods=["visible", absent], scoring=None).page()).text
    assert "4 cannot run (theirs / detection / seed 0" in text
    assert str(folder) in text


def test_removed_images_and_histories_leave_a_sentence(make: Make) -> None:
    made = make(methods=["visible", "average"], scoring=None)
    stages = made.store.root / "stages"
    for path in (*stages.glob("fuse/*"), *stages.glob("train_detector/*/run")):
        shutil.rmtree(path)
    text = Tree(made.page()).text
    assert "The store no longer holds this image." in text
    assert "The store holds no finished fusing stage." in text
    assert "Detector: sum" not in text
    assert "Segmenter: cross-entropy" in text


def test_results_that_cannot_be_read_are_named_and_left_out(make: Make) -> None:
    made = make(methods=["visible", "average"], scoring=None, seeds=[0])
    stages = made.store.root / "stages"
    for path in stages.glob("detect/*/predictions.json"):
        path.unlink()
    gone = next(iter(stages.glob("segment/*/confusion.npz")))
    gone.write_bytes(b"PK damaged")
    report = made.report()
    boxes, masks = report.tasks
    assert boxes.lost == ("visible / detection / seed 0", "average / detection / seed 0")
    assert len(masks.lost) == len(masks.confusions) == 1
    assert not boxes.curves
    text = Tree(page(report)).text
    assert "no longer holds, readably: visible / detection / seed 0 and average / detection" in text


def test_validation_losses_are_drawn_where_there_are_some(make: Make) -> None:
    made = make(methods=["visible"], scoring=None, segmentation=None, seeds=[0])
    (lines,) = made.report().losses.values()
    assert [line.style for line in lines] == ["train", "val"]
    assert math.isnan(lines[1].y[-1])
    (path,) = (made.store.root / "stages").glob("train_detector/*/run/results.csv")
    head, *rows = path.read_text().splitlines()
    none = [",".join([*row.split(",")[:4], "0", "0", "0"]) for row in rows]
    rewrite(path.parents[1], "run/results.csv", "\n".join([head, *none]))
    (lines,) = made.report().losses.values()
    assert [line.style for line in lines] == ["train"]


def test_the_command_writes_the_page(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(made.store.root)]
    out = tmp_path / "page.html"
    assert main(["report", str(made.file), *store, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}  (")
    text = Tree(out.read_text(encoding="utf-8")).text
    assert "mAP50: " in text
    assert "24 of 24 cells finished" in text
    assert main(["report", str(made.file), *store, "--out", str(tmp_path / "no" / "x.html")]) == 2
    assert "lies in a folder that does not exist" in capsys.readouterr().err


def test_the_page_lies_in_the_store_unless_told_otherwise(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert page_path(None, store, "tiny") == store.root / "reports" / "tiny.html"
    assert page_path(tmp_path / "x.html", store, "tiny") == tmp_path / "x.html"
    with pytest.raises(InputError, match="is a folder"):
        page_path(tmp_path, store, "tiny")


def value(mean: float) -> Value:
    return Value(mean, None, 1, (mean - 1, mean + 1))


def evidence(level: tuple[str, ...], means: dict[str, float]) -> Evidence:
    rows = tuple(Row(name, "ours", (value(mean),), 1, 1) for name, mean in means.items())
    table = Table("e: detection on d", "detection", ("mAP50",), rows, (), (), "detection")
    told = wording.best(level, len(means), "seeds", "9 test images")
    best = max(means, key=lambda m: means[m])
    return Evidence(table, "mAP50", best, (), level, {}, (), "seeds", told)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (("a",), "a is the best; every other method is worse"),
        (
            ("a", "b"),
            "the best is among a and b; every method not listed is worse than one that is",
        ),
        (("a", "b", "c"), "the best is among all 3 methods: none can be ruled out"),
    ],
)
def test_the_finding_says_among_which_the_best_is(level: tuple[str, ...], told: str) -> None:
    found = finding(evidence(level, {"a": 50.0, "b": 49.0, "c": 10.0}))
    assert found == f"mAP50: a leads with 50.0 [49.0, 51.0]. With 95 % confidence {told}."


@pytest.mark.parametrize(
    ("members", "told"),
    [
        (("a",), "differ on these 9 test images: with 95 % confidence every other one does worse"),
        (("a", "b"), "differ on these 9 test images: with 95 % confidence the one that does best"),
        (("a", "b", "c"), "do not differ on these 9 test images by more than chance"),
    ],
)
def test_of_one_training_each_networks_are_spoken_of(members: tuple[str, ...], told: str) -> None:
    found = wording.best(members, 3, "one training", "9 test images")
    assert found.startswith(f"These trained networks {told}")
    assert found.endswith(wording.ONE_TRAINING)
    assert "method" not in found.removesuffix(wording.ONE_TRAINING)


def test_one_method_alone_and_results_that_are_gone_conclude_nothing() -> None:
    alone = replace(evidence(("a",), {"a": 50.0}), conclusion="")
    assert finding(alone).endswith("No other method is finished, so nothing is compared.")
    gone = replace(evidence(("a",), {"a": 50.0, "b": 49.0}), conclusion="")
    assert finding(gone).endswith("not known, so nothing is concluded.")


def test_of_one_training_each_no_method_is_called_better(made: Made) -> None:
    report = made.report()
    part = report.tasks[0]
    one = replace(part.evidence, basis="one training")
    lines = unsupported(replace(report, tasks=(replace(part, evidence=one),)))
    assert lines[0].startswith("That any method is better than another in mAP50")


def test_what_is_not_told_from_visible_is_named(made: Made) -> None:
    report = made.report()
    part = report.tasks[0]
    base = replace(part.evidence, best="average", among_best=("average",), differences=())
    ends = (-1.0, 1.0, 0.5)
    unsure = Difference("LKC-FUNet", "visible", "mAP50", 0.0, *ends, p_adjusted=0.5)
    sure = Difference("infrared", "visible", "mAP50", 9.0, *ends, p_adjusted=0.01)
    part = replace(part, evidence=replace(base, differences=(unsure, sure)))
    (line,) = [x for x in unsupported(replace(report, tasks=(part,))) if "visible" in x]
    assert line.startswith("That LKC-FUNet differs from the visible images alone in mAP50")


def test_images_are_chosen_by_the_spread_one_from_each_third() -> None:
    first = {f"{n}": 0.5 for n in range(9)}
    second = {**first, "1": 0.9, "2": 0.6, "4": 0.1, "8": 1.0}
    chosen = most_different([first, second], list(first))
    assert [name for name, _ in chosen] == ["1", "4", "8"]
    assert chosen[0][1] == pytest.approx(0.2)
    assert most_different([first], list(first)) == []
    assert most_different([first, first], list(first)) == []
    assert most_different([first, second], ["2"]) == [("2", pytest.approx(0.05))]
    assert mean_over_seeds([{"a": 0.0, "b": 1.0}, {"a": 1.0}]) == {"a": 0.5}
