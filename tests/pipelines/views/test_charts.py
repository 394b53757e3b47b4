"""Charts: what they show is in their data; every one of them is drawn, whatever it is given."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from detection.ap import PrecisionRecall
from fusion.perturb import Kind
from pipelines.results.conclusions.evidence import Difference
from pipelines.results.robustness import Curve
from pipelines.results.rounds.runners import Runner
from pipelines.results.values import Line, Row, Table, Value
from pipelines.views import charts
from pipelines.views.charts.classes import class_bars
from pipelines.views.charts.curves import (
    BEHIND,
    class_precision_recall,
    loss_panels,
    precision_recall_panel,
    thinned,
)
from pipelines.views.charts.designs.seeds import power_chart, race_chart
from pipelines.views.charts.designs.splits import split_chart
from pipelines.views.charts.differences import forest
from pipelines.views.charts.markup import mark_of, page_svg
from pipelines.views.charts.matrices import confusion_matrix, rank_bars, rank_matrix
from pipelines.views.charts.parts import shortened
from pipelines.views.charts.printed import both, printed_chart, printed_charts
from pipelines.views.charts.robustness import kinds_of, panel, picture
from pipelines.views.charts.speed import Axes, Point, log_ticks, name_boxes, pareto, scatter
from pipelines.views.charts.theme import Chart, Looks, looks, png, shade, svg, swatch
from pipelines.views.printed import write_printed

EVIL = "<script>alert('x')</script> & <img src=x onerror=alert(1)>"
NAMES = ("infrared", "visible", "average", EVIL)
LOOKS = looks([(name, name) for name in NAMES])
MINUS = "\N{MINUS SIGN}"


def rows(chart: Chart) -> list[dict[str, Any]]:
    """Return the data of all layers and panels of a chart, which is checked against the schema."""
    return [row for part in chart.to_dict()["datasets"].values() for row in part]


def of(chart: Chart, method: str, *keys: str) -> tuple[Any, ...]:
    """Return the values of a method's row that has all of these keys."""
    found = [row for row in rows(chart) if row.get("method") == method and keys[0] in row]
    return tuple(found[0].get(key) for key in keys)


def drawn(chart: Chart) -> ElementTree.Element:
    """Return a chart's SVG, after the checks that hold for every one."""
    text = svg(chart)
    assert "<script" not in text
    assert "<img" not in text
    assert "font-family" not in text
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.get("width") is None
    assert not [element for element in root.iter() if "id" in element.attrib]
    assert "NaN" not in text
    assert "undefined" not in text
    return root


def marked(chart: Chart) -> dict[str, set[str]]:
    """Return by method the kinds of elements that are marked as the method's."""
    found: dict[str, set[str]] = {}
    for element in drawn(chart).iter():
        if "data-method" in element.attrib:
            found.setdefault(element.attrib["data-method"], set()).add(element.tag)
    return found


def differences(*means: float, methods: Sequence[str] = NAMES) -> list[Difference]:
    return [
        Difference(name, "best", "mAP50", mean, mean - 1, mean + 1, 0.01, 0.2 if mean > 0 else 0.01)
        for name, mean in zip(methods, means, strict=False)
    ]


def table(*values: Value | None, paper: Value | None = None, column: str = "person") -> Table:
    ours = [Row(n, "ours", (v,), 1, 1) for n, v in zip(NAMES, values, strict=False)]
    printed = [Row("  paper", "paper", (paper,), 1, 1)] if paper else []
    return Table("title", "detection", (column,), (*ours, *printed), (), (), "detection")


POINTS = [
    Point("infrared", 0.01, 50.0, (49.0, 51.0)),
    Point("visible", 0.02, 49.0, None),
    Point("average", 0.5, 60.0, None),
    Point(EVIL, 0.5, 58.0, (50.0, 66.0)),
]


def test_differences_are_ordered_and_filled_where_they_are_sure() -> None:
    chart = forest(differences(-2.0, 3.0, -4.0), LOOKS, 1, lower=False)
    assert of(chart, "visible", "mean", "low", "high") == (3.0, 2.0, 4.0)
    assert of(chart, "visible", "fill", "sure") == ("#ffffff", False)
    assert of(chart, "average", "fill", "sure") == (LOOKS["average"].colour, True)
    assert of(chart, "infrared", "numbers", "p") == (
        f"{MINUS}2.0 [{MINUS}3.0, {MINUS}1.0]",
        "p = 0.010",
    )
    heights = {name: of(chart, name, "row")[0] for name in NAMES[:3]}
    assert sorted(heights, key=lambda n: heights[n]) == ["visible", "infrared", "average"]
    turned = forest(differences(-2.0, 3.0, -4.0), LOOKS, 1, lower=True)
    assert (
        of(turned, "average", "row") < of(turned, "infrared", "row") < of(turned, "visible", "row")
    )


def test_a_scene_is_as_wide_as_its_images_and_lies_in_the_line_of_its_part() -> None:
    chart = split_chart(
        [["a", "b", "c"], ["d"], ["e"]],
        {"train": ["a", "b", "c"], "val": ["e"], "test": ["d"]},
        {"train": {"Car": 0.75}, "val": {"Car": 0.0}, "test": {"Car": 0.25}},
        "mine",
    )
    scenes = [one for one in rows(chart) if "y2" in one and "number" not in one]
    shares = [one for one in rows(chart) if "y2" in one and "number" in one]
    wide = [one["x2"] - one["x"] for one in scenes]
    assert wide[0] == pytest.approx(3 * wide[1], rel=0.02)
    assert scenes[2]["y"] < scenes[1]["y"]  # val above test
    assert [one["number"] for one in shares][:6] == ["60", "20", "20", "75", "", "25"]
    text = "".join(drawn(chart).itertext())
    assert "scene of a, 3 images" in text
    assert "25 % of Car" in text


def test_numbers_of_any_length_have_their_room() -> None:
    """The narrowest letters that a browser may have are digits of 0.5 em."""
    for mean in (0.1, 12.3, 1234.5):
        long = [Difference("average", "best", "MSE", mean, mean - 1, mean + 1, 0.2, 0.2)]
        spec = forest(long, LOOKS, 3, lower=True).to_dict()
        (words,) = of(forest(long, LOOKS, 3, lower=True), "average", "numbers")
        assert spec["padding"]["right"] - 10 > 0.5 * 10.5 * len(words)
        assert spec["width"] > 60
        bars = class_bars(replace(table(Value(mean, None, 1)), digits=3), 0, LOOKS)
        assert bars is not None
        assert bars.to_dict()["padding"]["right"] > 0.55 * 10.5 * len(f"{mean:.3f}")


def test_bars_hold_mean_interval_and_the_papers_number() -> None:
    values = Value(40.0, 1.0, 3, (35.0, 45.5)), None, Value(30.04, None, 1)
    chart = class_bars(table(*values, paper=Value(33.0, None, 1)), 0, LOOKS)
    assert chart is not None
    assert of(chart, "infrared", "mean", "low", "high", "paper") == (40.0, 35.0, 45.5, None)
    assert of(chart, "average", "mean", "low", "paper", "number") == (30.04, None, 33.0, "30.0")
    assert "visible" not in {row.get("method") for row in rows(chart)}


def test_a_class_without_values_has_no_bars() -> None:
    assert class_bars(table(None, None), 0, LOOKS) is None


def test_speed_joins_the_front_and_shows_intervals() -> None:
    chart = scatter(POINTS, "mAP50", LOOKS, lower=False)
    assert of(chart, "infrared", "seconds", "value", "low", "high") == (0.01, 50.0, 49.0, 51.0)
    assert of(chart, "visible", "low", "high") == (49.0, 49.0)
    front = [row for row in rows(chart) if set(row) == {"seconds", "value"}]
    assert [row["seconds"] for row in front] == [0.01, 0.5, 0.75]
    assert [row["value"] for row in front] == [50.0, 60.0, 60.0]


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    assert [p.method for p in pareto(POINTS, lower=False)] == ["infrared", "average"]
    assert [p.method for p in pareto(POINTS, lower=True)] == ["infrared", "visible"]


def test_names_in_the_speed_chart_cover_neither_each_other_nor_points() -> None:
    points = [Point(f"method {n}", 0.1 + 0.001 * n, 50 + 0.05 * n, None) for n in range(12)]
    axes = Axes.of(points)
    boxes = [box for _, box in name_boxes(points, axes)]
    dots = [(x - 6, y - 6, 12, 12) for x, y in (axes.place(p.seconds, p.value) for p in points)]
    for n, (x, y, wide, high) in enumerate(boxes):
        for left, top, across, down in [*boxes[:n], *dots]:
            beside = x + wide <= left or left + across <= x
            assert beside or y + high <= top or top + down <= y


def test_names_stand_where_vega_draws_the_points() -> None:
    chart = scatter(POINTS, "mAP50", LOOKS, lower=False)
    axes = Axes.of(POINTS)
    dots = {
        element.get("data-method"): element.get("transform")
        for element in drawn(chart).iter("path")
        if "data-method" in element.attrib
    }
    for point in POINTS:
        x, y = axes.place(point.seconds, point.value)
        assert dots[point.method] == f"translate({x:.1f},{y:.1f})"


def test_ticks_of_many_powers_are_powers_alone() -> None:
    assert log_ticks(0.02, 3.0) == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
    assert log_ticks(0.004, 0.3) == pytest.approx([0.005, 0.01, 0.02, 0.05, 0.1, 0.2])
    assert log_ticks(0.001, 10) == pytest.approx([0.001, 0.01, 0.1, 1, 10])


RECALL = (0.0, 0.5, 1.0)
LINES = [Line(name, RECALL, (1.0, 0.6, 0.2 - 0.1 * n)) for n, name in enumerate(NAMES[:3])]
LINES.append(Line(EVIL, RECALL, (1.0, math.nan, 0.0)))


def test_curves_are_drawn_as_given_and_named_by_their_area() -> None:
    chart = precision_recall_panel("person", LINES[:3], LOOKS)
    mine = [(r["x"], r["y"]) for r in rows(chart) if r.get("method") == "visible"]
    assert mine == list(zip(RECALL, (1.0, 0.6, 0.1), strict=True))
    assert "visible 56.7" in str(chart.to_dict()["description"])
    assert of(chart, "visible", "color", "dash") == (LOOKS["visible"].colour, [7, 3])


def test_a_detectors_curves_are_named_by_class() -> None:
    chart = class_precision_recall(PrecisionRecall(RECALL, {"car": (1.0, 0.5, 0.0)}), "average")
    assert of(chart, "car (AP50 50.0)", "x", "y") == (0.0, 1.0)


def epochs(method: str, first: float, number: int = 4, **style: Any) -> Line:
    return Line(
        method, tuple(range(1, number + 1)), tuple(first / n for n in range(1, number + 1)), **style
    )


def test_losses_are_a_panel_a_method_with_all_others_behind() -> None:
    lines = [epochs("infrared", 4.0), epochs("infrared", 5.0), epochs("average", 6.0)]
    panels = loss_panels([*lines, epochs("average", 7.0, style="val")], LOOKS)
    assert list(panels) == ["infrared", "average"]
    found = rows(panels["average"])
    grey = [r for r in found if r.get("color") == BEHIND.colour]
    mine = [r for r in found if r.get("color") == LOOKS["average"].colour]
    assert {r["method"] for r in grey} == {"infrared", "average"}
    assert [r["y"] for r in mine] == [6.0, 3.0, 2.0, 1.5, 7.0, 3.5, 7 / 3, 1.75]
    assert [r["dash"] for r in mine] == [[]] * 4 + [[2, 3]] * 4
    domains = {
        str(panel.to_dict()["layer"][0]["encoding"]["y"]["scale"]) for panel in panels.values()
    }
    assert len(domains) == 1


def test_losses_that_are_nowhere_finite_have_no_panel() -> None:
    assert loss_panels([Line("average", (1.0, 2.0), (math.nan, math.inf))], LOOKS) == {}
    assert loss_panels([], LOOKS) == {}


def test_a_long_line_keeps_its_ends_and_few_points() -> None:
    for number in (1, 2, 39, 40, 41, 500):
        line = thinned(epochs("average", 3.0, number), 40)
        assert len(line.x) == len(line.y) <= 40
        assert (line.x[0], line.x[-1]) == (1, number)
        assert line.y[-1] == 3.0 / number


def curve(kind: Kind, method: str, *scores: dict[int, float]) -> Curve:
    strengths = ("clean", "infrared", "visible") if kind == "lost" else (0.0, 2.0, 4.0)
    return Curve("detection", kind, "" if kind == "lost" else "px", method, strengths, scores)


DISTURBED = [
    curve("shift", "infrared", {0: 60.0, 1: 62.0}, {0: 50.0}, {}),
    curve("shift", EVIL, {0: 70.0}, {}, {0: 40.0}),
    curve("lost", "infrared", {0: 60.0}, {}, {0: 5.0}),
    curve("lost", EVIL, {0: 60.0}, {0: 20.0}, {0: 5.0}),
]


def test_a_panel_of_disturbances_leaves_out_what_is_not_finished() -> None:
    chart = panel("shift", DISTURBED, LOOKS)
    mine = [r for r in rows(chart) if r.get("method") == "infrared"]
    assert [(r["place"], r["score"]) for r in mine] == [(0.0, 61.0), (2.0, 50.0), (4.0, None)]
    assert (mine[0]["low"], mine[0]["high"]) == pytest.approx((61 - 2**0.5, 61 + 2**0.5))
    assert mine[1]["low"] is None
    assert len([e for e in drawn(chart).iter("path") if e.get("stroke-dasharray") is None]) >= 4


def test_methods_stand_side_by_side_where_an_image_is_lost() -> None:
    chart = panel("lost", DISTURBED, LOOKS)
    left, right = of(chart, "infrared", "place")[0], of(chart, EVIL, "place")[0]
    assert -0.5 < left < 0 < right < 0.5
    words = {element.text for element in drawn(chart).iter("text")}
    assert {"clean", "no infrared", "no visible"} <= words


def test_panels_of_a_task_share_their_axis() -> None:
    domains = [
        panel(kind, DISTURBED, LOOKS).to_dict()["layer"][-3]["encoding"]["y"]["scale"]["domain"]
        for kind in kinds_of(DISTURBED)
    ]
    assert domains == [[0.0, 70.0 * 1.05]] * 2


CONFUSION = np.array([[80, 15, 5], [0, 0, 0], [0, 1, 99]])


def test_confusion_is_in_shares_of_the_true_class() -> None:
    chart = confusion_matrix("average", CONFUSION, ("road", EVIL, "car"))
    cells = [row for row in rows(chart) if "share" in row]
    assert [cell["share"] for cell in cells[:6]] == [0.8, 0.15, 0.05, None, None, None]
    assert [cell["number"] for cell in cells] == ["80", "15", "5", "", "", "", "", "1", "99"]
    assert "car 99 %" in chart.to_dict()["description"]


def test_ranks_are_ordered_by_their_mean() -> None:
    chart = rank_matrix({"average": (0.1, 0.9), EVIL: (0.9, 0.1)})
    assert [r["share"] for r in rows(chart) if "share" in r] == [0.9, 0.1, 0.1, 0.9]
    assert [r["label"][:3] for r in rows(chart) if "label" in r] == ["<sc", "ave"]


def test_bars_of_ranks_count_metrics_by_place() -> None:
    chart = rank_bars({"average": (1.0, 1.0, 2.5), EVIL: (2.0, 2.0, 1.0)}, "scores")
    parts = [(r["method"], r["place"], r["metrics"]) for r in rows(chart) if "place" in r]
    assert parts == [("average", 1, 2), ("average", 2, 1), (EVIL, 1, 1), (EVIL, 2, 2)]
    assert [r["mean"] for r in rows(chart) if "mean" in r] == ["1.50", "1.67"]


BESIDE = Table(
    "title",
    "detection",
    ("person", EVIL),
    (
        Row("average", "ours", (Value(40.0, None, 1, (35.0, 44.0)), None), 1, 1),
        Row("  paper", "paper", (Value(50.0, None, 1), Value(1.0, None, 1)), 1, 1),
        Row("  difference", "difference", (Value(-10.0, None, 1), None), 1, 1),
        Row(EVIL, "ours", (Value(30.0, None, 1), Value(20.0, None, 1)), 1, 1),
        Row("  paper", "paper", (Value(31.0, None, 1), Value(20.5, None, 1)), 1, 1),
        Row("visible", "ours", (Value(10.0, None, 1), Value(10.0, None, 1)), 1, 1),
    ),
    (),
    (),
    "detection",
)


def test_each_cell_that_both_have_is_a_point_beside_the_paper() -> None:
    assert [(one.method, one.column, one.paper) for one in both(BESIDE)] == [
        ("average", "person", 50.0),
        (EVIL, "person", 31.0),
        (EVIL, EVIL, 20.5),
    ]
    chart = printed_chart(BESIDE, LOOKS)
    assert chart is not None
    assert of(chart, "average", "ours", "paper", "low", "high") == (40.0, 50.0, 35.0, 44.0)
    assert of(chart, EVIL, "ours", "low") == (30.0, None)
    assert "the farthest is average, person: 40.0, paper 50.0" in chart.to_dict()["description"]
    assert list(printed_charts(BESIDE, LOOKS, per_image=True)) == ["person", EVIL]
    assert printed_chart(table(Value(1.0, None, 1)), LOOKS) is None


CHARTS: dict[str, Callable[[Looks], Chart | None]] = {
    "differences": lambda given: forest(differences(-2, 3, -4, 1), given, 1, lower=False),
    "one difference": lambda given: forest(differences(0.0), given, 3, lower=True),
    "bars": lambda given: class_bars(
        table(Value(1.5, 1, 2, (1, 2)), Value(0, None, 1), None, Value(-3.0, 0.1, 2)), 0, given
    ),
    "one bar of nothing": lambda given: class_bars(
        table(Value(0.0, None, 1), column=EVIL), 0, given
    ),
    "speed": lambda given: scatter(POINTS, EVIL, given, lower=False),
    "precision": lambda given: precision_recall_panel(EVIL, LINES, given),
    "precision by class": lambda given: class_precision_recall(
        PrecisionRecall(RECALL, {EVIL: (1.0, 0.5, 0.0)}), EVIL
    ),
    "precision of nothing": lambda given: class_precision_recall(PrecisionRecall(RECALL, {}), ""),
    "losses": lambda given: loss_panels([epochs(EVIL, 3.0), epochs("average", 2.0)], given)[EVIL],
    "one epoch": lambda given: loss_panels(
        [Line(EVIL, (1.0,), (math.nan,)), epochs("average", 0.0, 1)], given
    )[EVIL],
    "disturbed": lambda given: panel("shift", DISTURBED, given),
    "lost": lambda given: panel("lost", DISTURBED, given),
    "all disturbances": lambda given: picture(DISTURBED, given, EVIL),
    "nothing finished": lambda given: panel("shift", [curve("shift", EVIL, {}, {}, {})], given),
    "confusion": lambda given: confusion_matrix(EVIL, CONFUSION, ("road", EVIL, "car")),
    "one class": lambda given: confusion_matrix(EVIL, np.zeros((1, 1), np.int64), ("road",)),
    "beside the paper": lambda given: printed_chart(BESIDE, given),
    "a column beside the paper": lambda given: printed_charts(BESIDE, given, True)[EVIL],
    "ranks": lambda given: rank_matrix({"average": (0.1, 0.9), EVIL: (0.9, 0.1)}),
    "rank bars": lambda given: rank_bars({"average": (1.0, 2.0), EVIL: (2.0, 1.0)}, EVIL),
    "split": lambda given: split_chart(
        [["a", "b"], ["c"]],
        {"train": ["a", "b"], EVIL: ["c"]},
        {"train": {EVIL: 1.0}, EVIL: {}},
        EVIL,
    ),
    "power": lambda given: power_chart({EVIL: (3.0, 2.0), "few": (4.0, 3.5)}, (2, 10), 1.0, EVIL),
    "race": lambda given: race_chart(
        [Runner(EVIL, (2, 3), (40.0, 41.0), None), Runner("average", (2,), (30.0,), 2)], EVIL, given
    ),
    "race of nothing": lambda given: race_chart([Runner(EVIL, (2,), (0.0,), 2)], "", given),
    "race with names": lambda given: race_chart(
        [Runner(EVIL, (2, 3), (40.0, 41.0), None)], EVIL, given, key=True
    ),
    "one speed": lambda given: scatter(POINTS[:1], "mAP50", given, lower=True),
}


BRICKS = ("parts", "theme", "markup")
"""Modules of what charts are made of."""


def test_every_function_that_returns_a_chart_is_tried() -> None:
    drawing = {
        node.name
        for path in Path(str(charts.__path__[0])).rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if path.stem not in BRICKS and isinstance(node, ast.FunctionDef)
        if not node.name.startswith("_") and "Chart" in ast.unparse(node.returns or ast.Constant(0))
    }
    assert drawing >= {"forest", "class_bars", "loss_panels"}
    assert drawing <= {name for make in CHARTS.values() for name in make.__code__.co_names}


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn_in_both_forms(name: str) -> None:
    chart = CHARTS[name](LOOKS)
    assert chart is not None
    drawn(chart)
    assert png(chart).startswith(b"\x89PNG")


LABELLED = ("differences", "bars", "speed", "all disturbances", "power", "race with names")


@pytest.mark.parametrize("name", LABELLED)
def test_all_that_belongs_to_a_method_is_marked(name: str) -> None:
    chart = CHARTS[name](LOOKS)
    assert chart is not None
    found = marked(chart)
    assert EVIL in found
    assert all("text" in kinds and kinds & {"path", "line"} for kinds in found.values()), found


@pytest.mark.parametrize("name", ["precision", "losses", "disturbed", "lost", "race"])
def test_lines_and_dots_are_marked(name: str) -> None:
    chart = CHARTS[name](LOOKS)
    assert chart is not None
    found = marked(chart)
    assert EVIL in found
    assert all("path" in kinds for kinds in found.values()), found


@pytest.mark.parametrize("name", ["confusion", "ranks"])
def test_names_in_matrices_are_marked(name: str) -> None:
    chart = CHARTS[name](LOOKS)
    assert chart is not None
    assert marked(chart)[EVIL] == {"text"}


def test_a_long_name_is_cut_in_its_middle() -> None:
    assert shortened("short", 8) == "short"
    names = [f"LKC-FUNet (preset=tiny, seed={n})" for n in (1, 2)]
    cut = [shortened(name, 18) for name in names]
    assert cut[0] != cut[1]
    assert all(len(name) <= 18 and name.startswith("LKC") for name in cut)


def test_no_two_methods_look_alike() -> None:
    sources = [("infrared", "infrared"), ("the visible ones", "visible")]
    found = looks([*sources, *((f"row {n}", "average") for n in range(70))])
    assert len({(look.colour, look.marker) for look in found.values()}) == 72


def test_swatches_are_xml_and_shades_run_from_white_to_blue() -> None:
    for look in LOOKS.values():
        assert ElementTree.fromstring(swatch(look)).get("viewBox")
    assert shade(0) == "#ffffff"
    assert shade(1) == shade(1.2) == "#084582"


def test_what_xml_cannot_hold_is_left_out() -> None:
    mark = mark_of("a\N{INVISIBLE SEPARATOR}b\x1b", "3")
    raw = f'<svg viewBox="0 0 1 1"><text id="x" aria-label="{mark}">a\x1bb</text></svg>'
    root = ElementTree.fromstring(page_svg(raw, "la\x00bel"))
    assert root.get("aria-label") == "label"
    assert root[0].attrib == {"data-method": "ab"}
    assert root[0][0].text == "ab: 3"


def test_numbers_that_are_not_finite_are_absent() -> None:
    chart = scatter([Point("infrared", 0.1, 5.0, (math.nan, 6.0))], "mAP50", LOOKS, lower=False)
    assert of(chart, "infrared", "low", "high") == (None, 6.0)


def test_pictures_beside_the_paper_are_written_where_there_are_cells(tmp_path: Path) -> None:
    methods = [(name, name) for name in NAMES]
    (path,) = write_printed(BESIDE, methods, tmp_path)
    assert path.name == "detection-paper.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    scores = replace(BESIDE, task="scoring", name="scoring-CT", columns=("SD", "AG"))
    names = [path.name for path in write_printed(scores, methods, tmp_path)]
    assert names == ["scoring-CT-paper-SD.png", "scoring-CT-paper-AG.png"]
    assert write_printed(table(Value(1.0, None, 1)), methods, tmp_path) == []
