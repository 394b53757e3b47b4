"""The cost of a method: counted right, measured alone, and never the end of the list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fusion.errors import InputError
from fusion.looking import profiling
from fusion.looking.profiling import Profile, ProfileSettings, measure, profile
from pipelines.cli import app as cli
from pipelines.cli.measure import draw

MODULE = '''"""Greedy: one convolution, and a memory that its preset chooses.

Paper: none
Licence: none
Checkpoint: none
"""
import os, signal
import torch
from fusion.method import FusionMethod

class Greedy(FusionMethod):
    presets = {"killed": {"end": "kill"}, "broken": {"end": "raise"}}

    def __init__(self, end: str = "", megabytes: int = 300):
        super().__init__()
        self.end, self.megabytes = end, megabytes
        self.layer = torch.nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, infrared, visible):
        if self.end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "raise":
            raise RuntimeError("first line\\nnot enough storage")
        block = torch.ones(self.megabytes, 1_000_000, dtype=torch.uint8)
        return self.layer(torch.cat([infrared, visible], 1)).sigmoid() * block[0, 0]
'''
SMALL = ProfileSettings(height=20, width=30, threads=1, repeats=2)


@pytest.fixture
def greedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the method "greedy" as a package of its own, which child processes find, too."""
    (tmp_path / "greedy_module.py").write_text(MODULE)
    info = tmp_path / "greedy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fuse_then.methods]\ngreedy = greedy_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("greedy")
def test_a_method_alone_in_its_process() -> None:
    held = torch.ones(400, 1_000_000, dtype=torch.uint8)  # must not count as the child's
    found = profile("greedy", SMALL)
    del held
    assert found.failed == ""
    assert found.parameters == 2 * 9 + 1
    assert found.gmacs == pytest.approx(20 * 30 * 2 * 9 / 1e9)
    assert 300 <= found.peak_megabytes < 400
    assert found.milliseconds > 0


@pytest.mark.usefixtures("greedy")
@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("greedy/killed", "its process was killed, most likely for want of memory"),
        ("greedy/broken", "not enough storage"),
        ("greedy/brokn", 'no preset "brokn". Did you mean "broken"'),
    ],
)
def test_what_goes_wrong_is_a_row(title: str, said: str) -> None:
    found = profile(title, SMALL)
    assert found.method == title
    assert said in found.failed
    assert found.milliseconds == 0


def test_too_slow_is_a_row() -> None:
    found = profile("average", ProfileSettings(timeout_seconds=0.01))
    assert found.failed == "it took more than 0.01 s."


def test_methods_that_compute_nothing_say_so() -> None:
    with pytest.raises(InputError, match='needs the parameter "folder"'):
        measure("precomputed", SMALL)


@pytest.mark.parametrize("key", ["height", "width", "repeats", "threads"])
def test_settings_are_checked(key: str) -> None:
    with pytest.raises(InputError, match=f"{key} is -1; use 1 or more"):
        ProfileSettings(**{key: -1})


ROWS = {
    "average": Profile("average", 0, 0.0, 0.5, 3.0),
    "laplacian": Profile("laplacian", 0, 0.002, 50.0, 12.0),
    "maximum": Profile("maximum", failed="it broke."),
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[ProfileSettings]:
    """Let the command measure nothing; the list receives its settings."""
    asked: list[ProfileSettings] = []

    def fake(title: str, settings: ProfileSettings) -> Profile:
        asked.append(settings)
        return ROWS[title]

    monkeypatch.setattr(profiling, "profile", fake)
    return asked


def test_command(
    measured: list[ProfileSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, drawn = tmp_path / "scores.json", tmp_path / "out" / "plot.png"
    scores.write_text('{"average": 3, "laplacian": 1.5, "unknown": 2}')
    options = [
        "--size",
        "64x48",
        "--threads",
        "1",
        "--repeats",
        "3",
        "--json",
        f"{tmp_path}/p.json",
    ]
    options += ["--scores", str(scores), "--plot", str(drawn)]
    assert cli.main(["profile", "average", "laplacian", "maximum", *options]) == 1
    said = capsys.readouterr()
    assert measured[0] == ProfileSettings(48, 64, "cpu", 1, 3)
    cells = next(line.split() for line in said.out.splitlines() if "laplacian" in line)
    assert cells[1::2] == ["laplacian", "0", "0.002", "50", "12"]
    assert "maximum: it broke." in said.err
    assert drawn.read_bytes().startswith(b"\x89PNG")
    facts = json.loads((tmp_path / "p.json").read_text())
    assert [row["method"] for row in facts["methods"]] == list(ROWS)
    assert facts["settings"]["threads"] == 1


def test_all_methods_are_measured_unless_named(
    measured: list[ProfileSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    monkeypatch.setattr(
        profiling, "profile", lambda title, _: named.append(title) or Profile(title)
    )
    assert cli.main(["profile"]) == 0
    assert {"average", "laplacian", "lkc_funet"} <= set(named)
    assert "precomputed" not in named


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["avrage"], 'no fusion method "avrage". Did you mean "average"'),
        (["--size", "640"], '--size is "640"; write WIDTHxHEIGHT'),
        (["--size", "0x3"], "width is 0"),
        (["average", "--scores", "/nowhere.json"], "/nowhere.json is not readable JSON"),
    ],
)
def test_wrong_arguments(
    measured: list[ProfileSettings],
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["profile", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert measured == []


def test_scores_must_be_ranks(
    measured: list[ProfileSettings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.json").write_text('{"average": "best"}')
    assert cli.main(["profile", "average", "--scores", str(tmp_path / "scores.json")]) == 2
    assert "must map methods to mean ranks" in capsys.readouterr().err


def test_a_plot_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No measured method has a rank"):
        draw([ROWS["maximum"]], {"maximum": 1.0}, tmp_path / "plot.png")
