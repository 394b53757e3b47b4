"""What `fuse-then power` prints, draws and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import contest
import pytest
import yaml
from stand_ins import no_report, start_checker

from pipelines.cli.app import main
from pipelines.planning.memory import remember
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import tasks

Write = Callable[..., Path]
SKILLS = {"visible": 0.3, "average": 0.5, "maximum": 0.5}


@pytest.fixture
def contested(write_experiment: Write, tmp_path: Path) -> Callable[[list[int]], list[str]]:
    """Return words that name an experiment with finished contests of so many seeds."""

    def make(seeds: list[int]) -> list[str]:
        given: dict[str, Any] = yaml.safe_load(write_experiment().read_text(encoding="utf-8"))
        keys = {"contest": {"dataset": given["detection"]["dataset"]}, "segmentation": None}
        path = write_experiment(methods=[*SKILLS], seeds=seeds, detection=None, **keys)
        store = Store(tmp_path / "store")
        plan = make_plan(load_experiment(str(path)), store, tasks(), no_report, start_checker)
        contest.finish(plan.cells, store, SKILLS)
        remember(plan, store)
        return [str(path), "--store", str(store.root)]

    return make


def test_it_tells_and_draws_from_finished_results(
    contested: Callable[[list[int]], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with contest.contests():
        words = contested([0, 1, 2])
        assert main(["power", *words, "--difference", "4"]) == 0
    told = capsys.readouterr().out
    assert "tiny: smallest difference in points that is seen (80 % power, 3 methods)" in told
    assert "From 9 finished results of tiny; standard deviations in points:" in told
    drawn = [Path(line) for line in told.splitlines() if "power-contest" in line]
    assert [path.suffix for path in drawn] == [".svg", ".png"]
    assert drawn[0].read_text(encoding="utf-8").startswith("<svg")
    assert drawn[1].read_bytes().startswith(b"\x89PNG")


def test_one_seed_says_nothing_of_trainings_unless_they_are_stated(
    contested: Callable[[list[int]], list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with contest.contests():
        words = contested([0])
        assert main(["power", *words]) == 2
        assert "give --seed-sd POINTS, or --from EXPERIMENT" in capsys.readouterr().err
        assert main(["power", *words, "--seed-sd", "1", "--out", str(tmp_path / "here")]) == 0
    assert len([*(tmp_path / "here").iterdir()]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "scoring"], '--task scoring: "tiny" has contest.'),
        (["--from", "tyni"], 'remembers no experiment "tyni". Available: tiny.'),
        (["--difference", "0"], "--difference must be above 0 points"),
        (["--power", "80"], "--power between 0 and 1"),
        (["--seed-sd", "-1"], "--seed-sd must be above 0"),
        (["--images", "0"], "--images must be above 0"),
    ],
)
def test_what_cannot_be_is_said(
    contested: Callable[[list[int]], list[str]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    with contest.contests():
        assert main(["power", *contested([0, 1]), *words]) == 2
    assert said in capsys.readouterr().err
