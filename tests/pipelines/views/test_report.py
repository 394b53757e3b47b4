"""The report: every part on one page, from whatever is finished, harmless and complete."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from stand_ins import no_report, start_checker
from synthetic_store import finish, made_up_agreements, made_up_evidence

from detection.ap import precision_recall
from fusion.errors import InputError
from pipelines.cli.app import app, main
from pipelines.cli.publish import page_path
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.agreement import Difference, Evidence
from pipelines.results.robustness import Curve, robustness_table
from pipelines.results.rows import ONE_TRAINING
from pipelines.results.tables import experiment_tables
from pipelines.results.values import Row, Table, Value
from pipelines.specs.dataset import TASKS
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.views.formats import shown
from pipelines.views.report.content import collect
from pipelines.views.report.detections import read_detected
from pipelines.views.report.examples import mean_over_seeds, most_different
from pipelines.views.report.model import Report, Robustness
from pipelines.views.report.page import page
from pipelines.views.report.sentences import finding, unsupported

VOID = frozenset({"br", "input", "meta"})
"""Elements without an end tag."""
EVIL = "<script>alert('x')</script>"
TRAINED = {
    "name": "lkc_funet",
    "label": "LKC-FUNet",
    "params": {"preset": "tiny"},
    "train": {"epochs": 2},
}


@dataclass(frozen=True)
class Made:
    """A synthetic experiment: its file, plan and store."""

    file: Path
    plan: Plan
    store: Store

    def report(self, words: list[str] | None = None) -> Report:
        found = [made_up_evidence(t) for t in experiment_tables(self.plan, self.store, TASKS)]
        given = words or [str(self.file)]
        return collect(
            self.plan, self.store, found, made_up_agreements(found), given, lambda *_: None
        )

    def page(self) -> str:
        return page(self.report())


Make = Callable[..., Made]


def planned(file: Path, store: Store, overrides: dict[str, Any] | None = None) -> Plan:
    """Plan without building any network: whether it can be built is not asked here."""
    spec = load_experiment(str(file), overrides)
    return make_plan(spec, store, TASKS, no_report, start_checker)


@pytest.fixture(scope="module")
def make(scenes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that makes an experiment; `keep` says which of its cells are finished."""

    def build(keep: Callable[[Cell], bool] = lambda _: True, **changes: Any) -> Made:
        folder = tmp_path_factory.mktemp("report")
        data = {**_experiment(scenes_root), **changes}
        file = folder / "experiment.yaml"
        kept = {key: value for key, value in data.items() if value is not None}
        file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
        store = Store(folder / "store")
        plan = planned(file, store)
        finish([cell for cell in plan.cells if keep(cell)], store)
        return Made(file, plan, store)

    return build


def _experiment(root: Path) -> dict[str, Any]:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(root / "m3fd")}
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    boxes["split"] = {"file": str(root / "m3fd" / "split.yaml")}  # type: ignore[assignment]
    trained = {**TRAINED, "train": {"epochs": 2, "dataset": masks}}
    return {
        "name": "tiny",
        "seeds": [0, 1],
        "methods": ["infrared", "visible", "average", trained],
        "detection": {"dataset": boxes, "model": "yolov5n", "image_size": 96, "epochs": 1},
        "segmentation": {"dataset": masks, "epochs": 1, "height": 96, "width": 96},
        "scoring": {"dataset": masks, "metrics": ["SD", "MSE"]},
        "paper": {"detection": "table4"},
    }


@pytest.fixture(scope="module")
def made(make: Make) -> Made:
    """Four methods, two seeds, three tasks, all finished."""
    return make()


@pytest.fixture(scope="module")
def html(made: Made) -> str:
    return made.page()


class Reader(HTMLParser):
    """Reads a page strictly: tags must balance; keeps attributes, text, and rows of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, key, value or "") for key, value in attributes]
        if name not in VOID:
            self.open.append(name)
        if name == "table":
            self.tables.append([])
        elif name == "tr":
            self.tables[-1].append([])
        elif name in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += f"{data}\n"

    def values(self, name: str) -> Iterator[str]:
        return (value for _, key, value in self.attributes if key == name)


def text_of(html: str) -> str:
    return " ".join(" ".join(Reader(html).words).split())


def test_the_page_holds_each_part(html: str) -> None:
    found = re.findall(r"<h[23][^>]*>(.*?)</h[23]>", html)
    wanted = (
        *("What these data do not support", "Paired differences", "By class", "By metric"),
        *("Places in mAP50", "Places in mIoU", "Precision and recall", "Confusion"),
        *("Where the methods differ most", "Speed and accuracy", "Do the orders agree?"),
        *("Training curves", "Where every number comes from"),
    )
    assert set(wanted) <= set(found)
    assert "4 methods, 2 seeds (0, 1)" in html
    assert "24 of 24 cells finished" in html
    assert "4 test images for detection" in html
    for name in ("detection", "segmentation", "scoring", "images", "speed", "provenance"):
        assert f'href="#{name}"' in html
        assert f'id="{name}"' in html


def test_nothing_is_fetched_from_anywhere(html: str) -> None:
    reader = Reader(html)
    places = [v for key in ("href", "src", "xlink:href", "action") for v in reader.values(key)]
    assert places
    embedded = ("#", "data:image/webp;base64,", "data:image/png;base64,")
    assert all(place.startswith(embedded) for place in places)
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_our_style_and_our_script_and_no_other(html: str) -> None:
    reader = Reader(html)
    policy = next(v for v in reader.values("content") if "src" in v)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for kind in ("style", "script"):
        (inline,) = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert not rules
    assert not [name for _, name, _ in reader.attributes if name == "style" or name[:2] == "on"]


def test_anchors_are_unique_and_lead_somewhere(html: str) -> None:
    reader = Reader(html)
    ids = Counter(reader.values("id"))
    assert max(ids.values()) == 1
    assert {v[1:] for v in reader.values("href") if v.startswith("#")} <= ids.keys()


def test_every_figure_says_in_words_what_it_shows(html: str) -> None:
    drawings = re.findall(r"<svg ([^>]*)>", html)
    keys = re.findall(r'<span class="swatch"[^>]*><svg ([^>]*)>', html)
    assert len(drawings) > 40
    labelled = [drawing for drawing in drawings if 'role="img"' in drawing]
    assert all(re.search(r'aria-label="[^"]+"', drawing) for drawing in labelled)
    assert len(labelled) >= len(drawings) - len(keys)


def test_letters_stay_legible_on_a_phone(html: str) -> None:
    """A phone of 390 pixels leaves 362 for a figure."""
    seen = 0
    for width, body in re.findall(r'<svg viewBox="0 0 ([\d.]+) [^>]*>(.*?)</svg>', html):
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)(?:px)?"', body)]
        seen += len(sizes)
        assert all(size * 362 / float(width) >= 9 for size in sizes)
    assert seen > 400


def test_the_numbers_are_those_of_the_tables(made: Made, html: str) -> None:
    tables = experiment_tables(made.plan, made.store, TASKS)
    for table, read in zip(tables, Reader(html).tables, strict=False):
        heads = [" ".join(cell.split()).removesuffix(" \N{DOWNWARDS ARROW}") for cell in read[0]]
        assert heads == ["method", *table.columns]
        rows = iter(read[1:])
        for row, title, cells in shown(table, lambda text, _: text):
            if row is not None:
                first, *rest = (cell.strip().split("\n") for cell in next(rows))
                assert first == [title.strip()]
                assert [cell[0] for cell in rest] == cells
                between = [cell[1] if cell[1:] else "" for cell in rest]
            else:
                assert between == cells
        assert next(rows, None) is None


def test_best_and_second_are_marked(made: Made, html: str) -> None:
    (table,) = [t for t in experiment_tables(made.plan, made.store, TASKS) if t.task == "detection"]
    column = table.columns.index("mAP50")
    body = html[html.index("</thead>") : html.index("</table>")]
    for rank, name in ((1, "best"), (2, "second")):
        (row,) = [row for row in table.rows if table.rank(row, column) == rank]
        value = row.values[column]
        assert value is not None
        assert f'<span class="{name}">{value.mean:.1f} ±{value.sd:.1f}</span>' in body


def test_the_papers_rows_stand_beneath_ours(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {"LKC-FUNet": {"People": 81.5, "mAP50": 84.2}}
    monkeypatch.setattr("pipelines.results.tables.read_paper_table", lambda *_: printed)
    html = made.page()
    table = Reader(html).tables[0]
    rows = [row[0].strip() for row in table]
    place = rows.index("LKC-FUNet")
    assert rows[place + 1 : place + 3] == ["paper", "difference"]
    assert table[place + 1][1].strip() == "81.5"
    assert html.count("White diamonds: the paper") == 1


def test_disturbed_pairs_have_a_section_of_curves_and_a_table(made: Made) -> None:
    rows = [method.row for method in made.plan.experiment.methods]
    found = [
        Curve("detection", "shift", "px", row, (0.0, 2.0, 8.0), ({0: 50.0}, {0: 40.0 - n}, {}))
        for n, row in enumerate(rows)
    ]
    found += [
        Curve("detection", "lost", "", row, ("clean", "visible"), ({0: 50.0, 1: 52.0}, {0: 9.5}))
        for row in rows
    ]
    table = robustness_table(made.plan, found, "detection")
    html = page(replace(made.report(), robustness=(Robustness(table, tuple(found)),)))
    reader = Reader(html)
    drawn = [label for label in reader.values("aria-label") if "average" in label]
    shift = next(label for label in drawn if label.startswith("Shift of infrared: "))
    assert "average 50.0, 38.0, -" in shift
    assert any(label.startswith("Loss of an image: infrared 51.0, 9.5") for label in drawn)
    (shown,) = [t for t in reader.tables if t[0][1:3] == ["clean\n", "shift 2 px\n"]]
    assert [cell.strip() for cell in shown[1][:3]] == ["infrared (1 of 2 seeds)", "50.0", "40.0"]
    assert "When the pairs are disturbed" in html


def test_without_disturbed_pairs_there_is_no_such_section(html: str) -> None:
    assert "#robustness" not in html


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
    (cell, *_) = [cell for cell in made.plan.cells if cell.task == "detection"]
    folder = made.store.directory(cell.result)
    files = (folder / f"{name}.json" for name in ("ground_truth", "predictions"))
    theirs = precision_recall(*(json.loads(file.read_text()) for file in files), classes)
    ours = read_detected(folder, 0, classes).curves
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
    for strip in masks.strips:
        assert [p.title for p in strip.pictures][:3] == [
            *("infrared image", "visible image", "ground truth")
        ]
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


def test_users_text_is_harmless(make: Make) -> None:
    evil = {"name": "average", "label": EVIL}
    made = make(
        methods=["visible", evil], deviations=[EVIL, '"><img src=x onerror=y>'], scoring=None
    )
    html = made.page()
    assert html.count("<script") == 1
    assert "<img" not in html
    assert "&lt;script&gt;alert" in html
    names = [row[0].strip() for row in Reader(html).tables[0]]
    assert EVIL in names


def test_one_seed_is_named_as_a_limit(make: Make) -> None:
    made = make(seeds=[3], methods=["visible", "average"], scoring=None, segmentation=None)
    text = text_of(made.page())
    assert "2 methods, 1 seed (3)" in text
    assert "How much another training would change a number: there is one seed." in text
    assert "drawn is each method's first, seed 3." in text


def test_one_method_leaves_sentences_not_holes(make: Make) -> None:
    text = text_of(make(methods=["visible"], paper=None).page())
    assert "no other method is finished, so nothing is compared" in text
    assert "There are no differences to draw: that takes two finished methods." in text
    assert "None: that takes two finished methods that differ on a test image." in text
    assert "Places in" not in text


def test_a_partial_store_shows_what_is_there(make: Make) -> None:
    def keep(cell: Cell) -> bool:
        return cell.task == "detection" and cell.method.row != "average" and cell.seed == 0

    text = text_of(make(keep, scoring=None).page())
    assert "Unfinished: 13 of 16 cells are not finished" in text
    assert "mIoU: no method is finished yet." in text
    assert "visible (1 of 2 seeds)" in text
    assert "average (0 of 2 seeds)" in text
    assert "No test images scored yet" in text


def test_nothing_finished_is_a_page_too(make: Make) -> None:
    text = text_of(make(lambda _: False).page())
    assert "0 of 24 cells finished" in text
    assert "The store holds no training curve." in text
    assert "The store holds no finished fusing stage." in text


def test_scoring_alone(make: Make) -> None:
    text = text_of(make(detection=None, segmentation=None, paper=None).page())
    assert "mean rank: " in text
    assert "Where the methods differ most" not in text
    assert "SD, difference to" in text
    assert "MSE, difference to" in text
    assert "Lower is better." in text
    assert "Fusion network: total loss" in text


def test_cells_that_cannot_run_are_told_with_their_reason(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    absent = {"name": "precomputed", "label": "theirs", "params": {"folder": str(folder)}}
    text = text_of(make(methods=["visible", absent], scoring=None).page())
    assert "4 cannot run (theirs / detection / seed 0" in text
    assert str(folder) in text


def test_removed_images_and_histories_leave_a_sentence(make: Make) -> None:
    made = make(methods=["visible", "average"], scoring=None)
    stages = made.store.root / "stages"
    for path in (*stages.glob("fuse/*"), *stages.glob("train_detector/*/run")):
        shutil.rmtree(path)
    text = text_of(made.page())
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
    text = text_of(page(report))
    assert "no longer holds, readably: visible / detection / seed 0 and average / detection" in text


def test_validation_losses_are_drawn_where_there_are_some(make: Make) -> None:
    made = make(methods=["visible"], scoring=None, segmentation=None, seeds=[0])
    (lines,) = made.report().losses.values()
    assert [line.style for line in lines] == ["train", "val"]
    assert math.isnan(lines[1].y[-1])
    (path,) = (made.store.root / "stages").glob("train_detector/*/run/results.csv")
    head, *rows = path.read_text().splitlines()
    none = [",".join([*row.split(",")[:4], "0", "0", "0"]) for row in rows]
    path.write_text("\n".join([head, *none]))
    (lines,) = made.report().losses.values()
    assert [line.style for line in lines] == ["train"]


def test_the_command_writes_the_page(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(made.store.root)]
    out = tmp_path / "page.html"
    assert main(["report", str(made.file), *store, "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}  (")
    text = text_of(out.read_text(encoding="utf-8"))
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
    return Evidence(table, "mAP50", max(means, key=lambda m: means[m]), (), level, {}, ())


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (("a",), "the other 2 are worse"),
        (("a", "b"), "b cannot be told from it, the other one is worse"),
        (("a", "b", "c"), "no other of the 3 methods can be told from it"),
    ],
)
def test_the_finding_says_who_is_level_with_the_best(level: tuple[str, ...], told: str) -> None:
    found = finding(evidence(level, {"a": 50.0, "b": 49.0, "c": 10.0}))
    assert found == f"mAP50: a is best at 50.0 [49.0, 51.0]; {told}. {ONE_TRAINING}"


def test_a_finding_from_several_seeds_needs_no_such_warning() -> None:
    one = evidence(("a",), {"a": 50.0, "b": 10.0})
    rows = tuple(replace(row, finished=3, wanted=3) for row in one.table.rows)
    found = finding(replace(one, table=replace(one.table, rows=rows)))
    assert found == "mAP50: a is best at 50.0 [49.0, 51.0]; the other one is worse."


def test_what_is_not_told_from_visible_is_named(made: Made) -> None:
    report = made.report()
    part = report.tasks[0]
    base = replace(part.evidence, best="average", level_with_best=("average",), differences=())
    ends = (-1.0, 1.0, 0.5)
    unsure = Difference("LKC-FUNet", "visible", "mAP50", 0.0, *ends, p_holm=0.5)
    sure = Difference("infrared", "visible", "mAP50", 9.0, *ends, p_holm=0.01)
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
