"""The page: every part in one file, harmless, and nothing fetched; its numbers are the tables'."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections import Counter
from dataclasses import replace

import pytest
from made_report import Made, Make, Tree, rows, said
from readings import tables_of

from pipelines.results.robustness import Curve, robustness_table
from pipelines.tasks.task import task_of
from pipelines.views.formats import OBJECTS, render, shown
from pipelines.views.report.model import Robustness
from pipelines.views.report.page import page

EVIL = "<script>alert('x')</script>"


def test_the_page_holds_each_part(tree: Tree) -> None:
    found = {said(e) for name in ("h2", "h3") for e in tree.all(name)}
    wanted = (
        *("What these data do not support", "Paired differences", "By class", "By metric"),
        *("Places in mAP50", "Places in mIoU", "Precision and recall", "Confusion"),
        *("Where the methods differ most", "Speed and accuracy", "Do the orders agree?"),
        *("Training curves", "Where every number comes from"),
    )
    assert set(wanted) <= found
    assert "4 methods, 2 seeds (0, 1)" in tree.text
    assert "24 of 24 cells finished" in tree.text
    assert "4 test images for detection" in tree.text
    for name in ("detection", "segmentation", "scoring", "images", "speed", "provenance"):
        assert tree.all("a", href=f"#{name}")
        assert tree.all("h2", id=name)


def test_nothing_is_fetched_from_anywhere(html: str, tree: Tree) -> None:
    places = [v for key in ("href", "src", "xlink:href", "action") for v in tree.values(key)]
    assert places
    embedded = ("#", "data:image/webp;base64,", "data:image/png;base64,")
    assert all(place.startswith(embedded) for place in places)
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_our_style_and_our_script_and_no_other(html: str, tree: Tree) -> None:
    policy = next(v for v in tree.values("content") if "src" in v)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("img-src") == "data:"
    for kind in ("style", "script"):
        (inline,) = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules.pop(f"{kind}-src") == f"'sha256-{digest}'"
    assert not rules
    names = {name for element in tree.root.iter() for name in element.attrib}
    assert not {name for name in names if name == "style" or name.startswith("on")}


def test_anchors_are_unique_and_lead_somewhere(tree: Tree) -> None:
    ids = Counter(tree.values("id"))
    assert max(ids.values()) == 1
    assert {v[1:] for v in tree.values("href") if v.startswith("#")} <= ids.keys()


def test_every_figure_says_in_words_what_it_shows(tree: Tree) -> None:
    drawings, keys = tree.all("svg"), [e for s in tree.all("span", class_="swatch") for e in s]
    labelled = [drawing for drawing in drawings if drawing.get("role") == "img"]
    assert len(labelled) > 40
    assert all(drawing.get("aria-label") for drawing in labelled)
    assert len(labelled) == len(drawings) - len(keys)


def test_letters_stay_legible_on_a_phone(tree: Tree) -> None:
    """A phone of 390 pixels leaves 362 for a figure."""
    seen = 0
    for drawing in tree.all("svg", role="img"):
        width = float(drawing.attrib["viewbox"].split()[2])
        sizes = [float(e.attrib["font-size"].removesuffix("px")) for e in drawing.iter("text")]
        seen += len(sizes)
        assert all(size * 362 / width >= 9 for size in sizes)
    assert seen > 400


def test_the_numbers_are_those_of_the_tables(made: Made, tree: Tree) -> None:
    tables = tables_of(made.plan, made.store)
    for table, read in zip(tables, tree.all("table"), strict=False):
        head, *lines = rows(read)
        heads = [said(cell).removesuffix(" \N{DOWNWARDS ARROW}") for cell in head]
        assert heads == ["method", *table.columns]
        left = iter(lines)
        for row, title, cells in shown(table, lambda text, _: text):
            if row is not None:
                first, *rest = next(left)
                assert said(first) == title.strip()
                assert [said(cell[0]) for cell in rest] == cells
                between = [said(cell[1]) if cell[1:] else "" for cell in rest]
                sorted_by = [cell.get("data-value") for cell in rest]
                means = ["" if v is None else str(round(v.mean, 4)) for v in row.values]
                assert sorted_by == means
            elif title == OBJECTS:
                assert [said(cell) for cell in next(left)] == [OBJECTS, *cells]
            else:
                assert between == cells
        assert next(left, None) is None


def test_best_and_second_are_marked(made: Made, tree: Tree) -> None:
    (table,) = [t for t in tables_of(made.plan, made.store) if t.task == "detection"]
    column = table.columns.index("mAP50")
    drawn = [line for body in tree.all("table")[0].iter("tbody") for line in rows(body)]
    for row, cells in zip(table.rows, drawn, strict=True):
        rank = {1: "best", 2: "second"}.get(table.rank(row, column) or 0)
        assert cells[1 + column][0].get("class") == rank
    assert {table.rank(row, column) for row in table.rows} >= {1, 2}


def test_the_papers_rows_stand_beneath_ours(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {"LKC-FUNet": {"People": 81.5, "mAP50": 84.2}}
    monkeypatch.setattr("pipelines.results.protocol.printed.read_paper_table", lambda *_: printed)
    tree = Tree(made.page())
    (ours,) = [
        body
        for body in tree.all("table")[0].iter("tbody")
        if body.get("data-method") == "LKC-FUNet"
    ]
    lines = list(rows(ours))  # one group: sorted together
    assert [said(line[0]) for line in lines] == ["LKC-FUNet", "paper", "difference"]
    assert said(lines[1][1]) == "81.5"
    assert tree.text.count("White diamonds: the paper") == 1
    assert tree.text.count("Beside the paper") == 1
    assert "Ours against the paper: 2 cells" in " ".join(tree.values("aria-label"))


def test_every_table_can_be_copied(made: Made, tree: Tree) -> None:
    tables = tables_of(made.plan, made.store)
    texts = tree.values("data-copy")
    for table, given in zip(tables, zip(texts[::2], texts[1::2], strict=True), strict=False):
        assert given == (render(table, "csv"), render(table, "latex"))
    assert len(texts) == 2 * len(tree.all("table"))
    for read, text in zip(
        tree.all("table")[len(tables) :], texts[2 * len(tables) :: 2], strict=True
    ):
        lines = [[said(cell) for cell in line] for line in rows(read)]
        assert [
            [" ".join(c.split()) for c in line] for line in csv.reader(io.StringIO(text))
        ] == lines


def test_a_method_is_named_wherever_it_is_shown(made: Made, tree: Tree) -> None:
    """The script highlights by this name alone."""
    methods = {method.row for method in made.plan.experiment.methods}
    assert set(tree.values("data-method")) == methods
    for name in ("tbody", "li", "figure", "path"):
        shown_in = {e.get("data-method") for e in tree.all(name)}
        assert methods <= shown_in, name


def test_boxes_and_masks_lie_in_layers_over_their_images(tree: Tree) -> None:
    strips = tree.all("section", class_="example")
    boxes = [strip for strip in strips if "data-outline" not in strip.attrib]
    assert {strip.attrib["data-outline"][:15] for strip in strips if strip not in boxes} == {
        "data:image/png;"
    }
    for strip in strips:
        for figure in strip.iter("figure"):
            (drawing,) = figure.iter("svg")
            image, *layers = drawing
            assert image.attrib["href"].startswith("data:image/webp;")
            sides = {layer.attrib["class"].split()[0] for layer in layers}
            assert sides <= {"truth", "prediction"}
            hidden = [layer for layer in layers if "spare" in layer.attrib["class"]]
            assert not hidden or "data-method" in figure.attrib


def test_disturbed_pairs_have_a_section_of_curves_and_a_table(made: Made) -> None:
    names = [method.row for method in made.plan.experiment.methods]
    found = [
        Curve("detection", "shift", "px", row, (0.0, 2.0, 8.0), ({0: 50.0}, {0: 40.0 - n}, {}))
        for n, row in enumerate(names)
    ]
    found += [
        Curve("detection", "lost", "", row, ("clean", "visible"), ({0: 50.0, 1: 52.0}, {0: 9.5}))
        for row in names
    ]
    table = robustness_table(made.plan, found, task_of("detection"))
    html = page(replace(made.report(), robustness=(Robustness("mAP50", table, tuple(found)),)))
    tree = Tree(html)
    drawn = [label for label in tree.values("aria-label") if "average" in label]
    shift = next(label for label in drawn if label.startswith("Shift of infrared: "))
    assert "average 50.0, 38.0, -" in shift
    assert any(label.startswith("Loss of an image: infrared 51.0, 9.5") for label in drawn)
    texts = [[[said(cell) for cell in row] for row in rows(t)] for t in tree.all("table")]
    (disturbed,) = [t for t in texts if t[0][1:3] == ["clean", "shift 2 px"]]
    assert disturbed[1][:3] == ["infrared (1 of 2 seeds)", "50.0", "40.0"]
    assert "When the pairs are disturbed" in tree.text


def test_without_disturbed_pairs_there_is_no_such_section(html: str) -> None:
    assert "#robustness" not in html


def test_users_text_is_harmless(make: Make) -> None:
    evil = {"name": "average", "label": EVIL}
    made = make(
        methods=["visible", evil], deviations=[EVIL, '"><img src=x onerror=y>'], scoring=None
    )
    html = made.page()
    assert html.count("<script") == 1
    assert "<img" not in html
    assert "&lt;script&gt;alert" in html
    tree = Tree(html)
    assert EVIL in [said(line[0]) for line in rows(tree.all("table")[0])]
    assert EVIL in tree.values("data-method")
    copies = tree.values("data-copy")
    assert EVIL in copies[0]
    assert any("onerror=y" in text for text in copies)
