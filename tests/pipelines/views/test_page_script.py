"""The page's script in a real browser: it highlights, sorts, copies and compares images."""

from __future__ import annotations

import base64
import hashlib
import html as entities
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from made_report import Made, Tree

pytestmark = pytest.mark.process

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
USE = (Path(__file__).parents[2] / "support" / "use_page.js").read_text(encoding="utf-8")
"""What a reader does, run behind the page's script, whose names it sees."""
PLAIN = """
const all = (selector) => [...document.querySelectorAll(selector)];
const seen = (selector) => all(selector).filter((part) => part.getClientRects().length).length;
document.body.dataset.told = JSON.stringify({
  buttons: seen("button, .script-only, dialog, [role=button]"),
  hidden: all(".script-only").length,
  marks: seen(".strip .truth, .strip .prediction"),
});
"""
"""What is seen of a page whose own script may not run."""


def told_by(script: str, page: str, folder: Path) -> dict[str, Any]:
    """Return what a script tells that runs at the end of a page, in a browser of its own."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium is installed, in which the page's script could be tried")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The page's policy has to name a further script, else it does not run.
    allowed = page.replace("script-src &#39;", f"script-src &#39;sha256-{digest}&#39; &#39;", 1)
    file = folder / "page.html"
    file.write_text(allowed.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    own = (f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom")
    command = [found[0], *FLAGS, *own, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (told,) = re.findall(r'data-told="([^"]*)"', done.stdout)
    result: dict[str, Any] = json.loads(entities.unescape(told))
    return result


@pytest.fixture(scope="module")
def told(html: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the reader saw."""
    return told_by(USE, html, tmp_path_factory.mktemp("browser"))


@pytest.fixture
def methods(made: Made) -> list[str]:
    return [method.row for method in made.plan.experiment.methods]


def numbers(column: list[str]) -> list[float]:
    return [float(cell.split()[0].rstrip("*")) for cell in column]


def test_a_column_is_sorted_best_first_then_worst_first_then_not(told: dict[str, Any]) -> None:
    (first, best), (second, worst), (third, _) = told["sorts"]
    assert (first, second, third) == ("descending", "ascending", None)
    assert numbers(best) == sorted(numbers(best), reverse=True)
    assert numbers(worst) == sorted(numbers(worst))
    assert told["unsorted"]
    assert told["focusable"]


def test_where_lower_is_better_the_lowest_comes_first(told: dict[str, Any]) -> None:
    way, column = told["lower"]
    assert way == "ascending"
    assert numbers(column) == sorted(numbers(column))


def test_pointing_at_a_method_lights_it_everywhere(
    told: dict[str, Any], methods: list[str]
) -> None:
    assert told["pointed"] == [[methods[3]]] * 4
    assert told["away"] == []


def test_a_method_stays_lit_from_a_click_to_escape(
    told: dict[str, Any], methods: list[str]
) -> None:
    lit, note = told["pinned"]
    assert lit == [methods[2]]
    assert f"Highlighted: {methods[2]}" in note
    assert told["cleared"] == [[], False]


def test_tables_are_copied_with_a_clipboard_and_without(told: dict[str, Any], tree: Tree) -> None:
    csv, latex, *_ = tree.values("data-copy")
    assert told["copied"] == [csv, "copy", latex]


def test_two_images_are_compared_with_boxes_on_and_off(
    told: dict[str, Any], methods: list[str]
) -> None:
    boxes = told["boxes"]
    assert boxes["open"]
    assert boxes["closed"]
    assert "visible image" in boxes["names"]
    assert methods[3] in boxes["names"]
    left, right = boxes["both"]
    assert left > 0 < right
    assert boxes["none"] == [0, 0]
    assert boxes["predictions"][0] == 0  # a source has none
    assert boxes["truth"][1] + boxes["predictions"][1] == right
    assert boxes["other"].startswith("infrared image")
    assert boxes["dragged"] == [60, 60]  # with a pressed button, and then without
    assert re.fullmatch(r"inset\(0(px|%)? 75% 0(px|%)? 0(px|%)?\)", boxes["cut"])


def test_a_mask_is_compared_with_the_borders_of_the_true_one(
    told: dict[str, Any], methods: list[str]
) -> None:
    masks = told["masks"]
    assert methods[3] in masks["names"]
    assert masks["both"] == [1, 2]  # the borders over the visible image; and over the prediction
    assert masks["predictions"] == [0, 1]
    assert masks["truth"] == [1, 1]
    assert masks["none"] == [0, 0]


def test_what_needs_the_script_is_seen_with_it_alone(
    told: dict[str, Any], html: str, tmp_path: Path
) -> None:
    assert told["buttons"]
    assert told["hidden"]
    forbidden = html.replace("script-src &#39;sha256-", "script-src &#39;sha256-AAAA", 1)
    plain = told_by(PLAIN, forbidden, tmp_path)
    assert plain["buttons"] == 0 < plain["hidden"]
    assert plain["marks"] > 0
