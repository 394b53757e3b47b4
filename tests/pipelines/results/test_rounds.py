"""Seeds are given where they decide: by rounds that follow from the finished cells alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import contest
import pytest
import yaml
from stages import FACTS
from stand_ins import no_report, start_checker

from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.conclusions import raced as wording
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.finished import Results
from pipelines.results.rounds.reading import results_so_far
from pipelines.results.rounds.runners import runners
from pipelines.results.rounds.running import Budget, rounds, standing
from pipelines.results.rounds.saved import Saved, saved
from pipelines.results.statistics.race import Race, judge, share
from pipelines.results.tables import experiment_evidence
from pipelines.specs.loading import load_experiment
from pipelines.specs.values.seeds import SeedRace
from pipelines.store.store import Store
from pipelines.tasks.task import tasks
from pipelines.views.power import write_races
from pipelines.views.report.content import collect
from pipelines.views.report.page import page

Write = Callable[..., Path]
RACE = {"at_least": 2, "at_most": 4, "until": "decided"}
RULE = SeedRace.model_validate(RACE)
SKILLS = {"visible": 0.30, "average": 0.52, "maximum": 0.48, "laplacian": 0.53}


def raced(*decisions: Sequence[str] | None) -> Race:
    """Judge a race of a, b and c whose rounds end as told, and are not there beyond."""
    ends = dict(enumerate(decisions, 2))
    return judge(RULE, ("a", "b", "c"), lambda methods, seeds: ends.get(seeds))


def test_nothing_is_decided_before_every_method_has_the_first_seeds() -> None:
    race = raced(None)
    assert (race.rounds, race.ended, race.level) == ((), False, 0)
    assert [race.due(method) for method in "abc"] == [2, 2, 2]


def test_who_is_worse_stops_and_the_others_get_the_next_seed() -> None:
    race = raced(["b"])
    assert race.alive == ("a", "c")
    assert [race.due(method) for method in "abc"] == [3, 2, 3]
    assert [race.stopped_after(method) for method in "abc"] == [None, 2, None]
    assert not race.ended


def test_a_race_ends_when_one_is_left() -> None:
    race = raced([], ["c", "a"])
    assert race.ended
    assert race.alive == ("b",)
    assert [race.due(method) for method in "abc"] == [3, 3, 3]


def test_a_race_ends_when_all_have_every_seed() -> None:
    race = raced([], [], [])
    assert race.ended
    assert [race.due(method) for method in "abc"] == [4, 4, 4]


def test_the_rounds_that_there_can_be_share_five_percent() -> None:
    assert share(RULE) == pytest.approx(0.05 / 3)
    assert raced([], ["a"]).level == pytest.approx(2 * 0.05 / 3)
    assert raced([], [], []).level == pytest.approx(0.05)


def test_only_those_that_are_left_are_compared_again() -> None:
    asked = []

    def decide(methods: Sequence[str], seeds: int) -> Sequence[str]:
        asked.append((tuple(methods), seeds))
        return ("b",) if seeds == 2 else ()

    judge(RULE, ("a", "b", "c"), decide)
    assert asked == [(("a", "b", "c"), 2), (("a", "c"), 3), (("a", "c"), 4)]


# On finished cells whose scores are drawn: laplacian and average are close, visible is far behind.

Make = Callable[..., tuple[Plan, Store]]


@pytest.fixture
def plan_of(write_experiment: Write, tmp_path: Path) -> Iterator[Make]:
    def make(store: str = "store", **changes: Any) -> tuple[Plan, Store]:
        given: dict[str, Any] = yaml.safe_load(write_experiment().read_text(encoding="utf-8"))
        section = {"dataset": given["detection"]["dataset"]}
        keys = {"methods": [*SKILLS], "seeds": RACE, "contest": section, "segmentation": None}
        opened = Store(tmp_path / store)
        spec = load_experiment(str(write_experiment(**{**keys, "detection": None, **changes})))
        return make_plan(spec, opened, tasks(), no_report, start_checker), opened

    with contest.contests():
        yield make


def run(plan: Plan, store: Store, leave: Callable[[Cell], bool] = lambda cell: False) -> list[int]:
    """Finish the cells round by round, but for those to leave; return how many each round had."""
    numbers = []
    for cells in rounds(plan, store):
        numbers.append(len(cells))
        contest.finish([cell for cell in cells if not leave(cell)], store, SKILLS)
    return numbers


def test_the_worse_get_no_more_seeds(plan_of: Make) -> None:
    plan, store = plan_of()
    first, *later = run(plan, store)
    assert first == 2 * len(SKILLS)
    assert later
    assert all(number < len(SKILLS) for number in later)
    results = results_so_far(plan, store)
    assert results.complete
    race = results.races["contest"]
    assert race.ended
    assert race.stopped_after("visible") == 2
    assert "laplacian" in race.alive
    for method in SKILLS:
        given = [one.cell.seed for one in results.of("contest", method)]
        assert given == [*range(race.stopped_after(method) or race.seeds)]


def test_a_race_that_was_killed_goes_on_as_if_it_had_not_been(plan_of: Make) -> None:
    plan, store = plan_of()
    run(plan, store)
    whole = results_so_far(plan, store)
    plan, other = plan_of("other")
    for left in (("average", 1), ("laplacian", 2), None):
        run(plan, other, lambda cell, left=left: (cell.method.row, cell.seed) == left)
        begun = results_so_far(plan, other)
        assert begun.complete == (left is None)
    assert begun.races == whole.races
    assert [c.result.key for c in begun.plan.cells] == [c.result.key for c in whole.plan.cells]
    assert [*rounds(plan, other)] == [begun.plan.cells]


def test_a_round_that_lacks_a_cell_decides_nothing(plan_of: Make) -> None:
    plan, store = plan_of()
    assert run(plan, store, lambda cell: (cell.method.row, cell.seed) == ("average", 0)) == [8]
    results = results_so_far(plan, store)
    assert results.races["contest"].rounds == ()
    assert not results.complete
    assert [results.wanted("contest", method) for method in SKILLS] == [2] * 4


def test_seeds_beyond_what_a_race_asks_for_do_not_count(plan_of: Make) -> None:
    plan, store = plan_of()
    run(plan, store)
    raced = results_so_far(plan, store)
    listed, _ = plan_of(seeds=[0, 1, 2, 3])
    assert {c.result.key for c in listed.cells} == {c.result.key for c in plan.cells}
    contest.finish(listed.cells, store, SKILLS)
    again = results_so_far(plan, store)
    assert again.races == raced.races
    assert len(again.cells) == len(raced.cells) < len(results_so_far(listed, store).cells)


def test_a_list_of_seeds_is_one_round(plan_of: Make) -> None:
    plan, store = plan_of(seeds=[0, 1])
    assert [*rounds(plan, store)] == [plan.cells]
    assert results_so_far(plan, store).races == {}


def test_a_race_waits_where_what_was_scored_cannot_be_read(plan_of: Make) -> None:
    plan, store = plan_of()
    contest.finish([cell for cell in plan.cells if cell.seed < 2], store, SKILLS)
    (cell,) = (c for c in plan.cells if (c.method.row, c.seed) == ("average", 1))
    path = store.directory(cell.result) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "metrics": {"points": 0.5}}), encoding="utf-8")
    assert results_so_far(plan, store).races["contest"].rounds == ()


def test_scores_of_images_are_not_raced(plan_of: Make, scenes: Path) -> None:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(scenes / "m3fd")}
    boxes["split"] = {"file": str(scenes / "m3fd" / "split.yaml")}
    plan, store = plan_of(scoring={"dataset": boxes})
    contest.finish([c for c in plan.cells if c.task is contest.TASK], store, SKILLS)
    results = results_so_far(plan, store)
    assert set(results.races) == {"contest"}
    assert {c.seed for c in results.plan.cells if c.task.per_image} == {0, 1}
    assert {c.seed for c in results.plan.cells if not c.task.per_image} > {0, 1}


# What a table says of a race.


def evidence_of(results: Results) -> Evidence:
    (found,) = experiment_evidence(results)
    return found


def test_the_table_says_who_stopped_when_and_what_that_saved(plan_of: Make) -> None:
    plan, store = plan_of()
    run(plan, store)
    results = results_so_far(plan, store)
    race, found = results.races["contest"], evidence_of(results)
    (told,) = (note for note in found.table.notes if note.startswith("Seeds are raced."))
    assert "Stopped as worse: after 2 seeds" in told
    assert "visible" in told
    made = sum(race.due(method) for method in SKILLS)
    assert f"Saved: {4 * 4 - made} of 16 trainings, about" in told
    hours = saved(results, contest.TASK).hours
    assert hours == pytest.approx((16 - made) * 2 * FACTS["seconds"] / 3600)
    assert [row.finished == row.wanted for row in found.table.rows] == [True] * 4
    (seeds,) = (note for note in found.table.notes if note.startswith("Mean and standard"))
    assert seeds == f"Mean and standard deviation over 2 to {race.seeds} seeds."


def test_the_conclusion_is_that_of_all_rounds_together(plan_of: Make) -> None:
    plan, store = plan_of()
    run(plan, store)
    results = results_so_far(plan, store)
    race, found = results.races["contest"], evidence_of(results)
    assert set(found.among_best) == set(race.alive) == set(found.table.among_best["points"])
    assert found.conclusion.startswith("With 95 % confidence")
    (told,) = (note for note in found.table.notes if note.startswith("points: "))
    assert "By rounds of seeds: after each from 2 to 4" in told
    assert (
        "Each of 3 rounds may lose the best in 1.7 of 100 races, all together in at most 5" in told
    )
    assert any(note.startswith("Power: ") for note in found.table.notes)
    assert wording.AFTER in found.notes


def test_nothing_is_concluded_before_the_first_round_is_complete(plan_of: Make) -> None:
    plan, store = plan_of()
    contest.finish([cell for cell in plan.cells if cell.seed == 0], store, SKILLS)
    found = evidence_of(results_so_far(plan, store))
    assert found.conclusion == ""
    assert set(found.among_best) == set(SKILLS)
    (told,) = (note for note in found.table.notes if note.startswith("Seeds are raced."))
    assert "No method has stopped. The first round, 2 seeds of every method, is not" in told


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ([["b", "c"]], "after 2 seeds b and c. Decided after 2 of at most 4 seeds: a is left."),
        ([["b"], []], "after 2 seeds b. Not over after 3 of at most 4 seeds: a and c are left."),
        ([[], [], ["c"]], "after 4 seeds c. Not decided with 4 seeds: a and b are left."),
    ],
)
def test_how_a_race_stands_is_a_sentence(decisions: list[list[str]], told: str) -> None:
    assert told in wording.told(raced(*decisions), Saved(0, 12, 0.0))


# Rounds as they are run: within a budget of hours, and said as they go.


def test_a_round_that_would_not_fit_is_not_begun(plan_of: Make) -> None:
    plan, store = plan_of()
    said: list[str] = []
    numbers = []
    for cells in rounds(plan, store, Budget(0.0, devices=1), said.append):
        numbers.append(len(cells))
        contest.finish(cells, store, SKILLS)
    assert numbers == [2 * len(SKILLS)]
    assert said[-1] == "  race  the next round would not end within --hours 0"
    results = results_so_far(plan, store)
    assert not results.complete
    assert "Not over after 2 of at most 4 seeds" in " ".join(evidence_of(results).table.notes)
    assert [*rounds(plan, store, Budget(0.0, devices=1))] == []
    assert run(plan, store)
    assert results_so_far(plan, store).complete


def test_the_hours_of_a_round_are_those_that_stages_like_it_took(plan_of: Make) -> None:
    plan, store = plan_of()
    contest.finish([cell for cell in plan.cells if cell.seed < 2], store, SKILLS)
    results = results_so_far(plan, store)
    due = [cell for cell in results.plan.cells if cell.seed == 2]
    seconds = len(due) * 2 * FACTS["seconds"]  # a training and a test each
    for devices, hours, fits in (
        (1, 0.9 * seconds / 3600, False),
        (2, 0.9 * seconds / 3600, True),
        (1, 1.5 * seconds / 3600, True),
    ):
        assert Budget(hours, devices).allows(due, results) == fits
    assert Budget(None, 1).allows(due, results)


def test_what_every_method_gets_is_begun_whatever_the_hours(plan_of: Make) -> None:
    plan, store = plan_of()
    contest.finish([cell for cell in plan.cells if cell.seed == 0], store, SKILLS)
    assert next(rounds(plan, store, Budget(0.0, 1)))


def test_each_round_is_said_as_it_begins(plan_of: Make) -> None:
    plan, store = plan_of()
    said: list[str] = []
    for cells in rounds(plan, store, say=said.append):
        contest.finish(cells, store, SKILLS)
    assert said[0] == "  race  contest: seeds 0 to 1 of every method decide first"
    assert said[1].startswith("  race  contest: after 2 seeds ")
    assert "stopped; seed 2 goes to " in said[1]
    assert "seed" not in said[-1].rpartition("seeds")[2]


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ([[]], "after 2 seeds none stopped; seed 2 goes to a, b, c"),
        ([["b", "c"]], "decided after 2 seeds, a is left"),
        ([[], [], ["c"]], "after all 4 seeds c stopped, a, b are left"),
    ],
)
def test_how_a_race_goes_is_said_in_a_few_words(decisions: list[list[str]], told: str) -> None:
    assert standing(raced(*decisions)) == told


def test_the_page_draws_how_the_methods_went(plan_of: Make) -> None:
    plan, store = plan_of()
    run(plan, store)
    results = results_so_far(plan, store)
    race = results.races["contest"]
    went = {one.method: one for one in runners(results, contest.TASK)}
    assert set(went) == set(SKILLS)
    for method, one in went.items():
        last = race.stopped_after(method) or race.seeds
        assert one.seeds == tuple(range(2, last + 1))
        assert one.stopped == race.stopped_after(method)
        mine = [cell for cell in plan.cells if cell.method.row == method]
        points = [100 * contest.result(cell, SKILLS)["points"] for cell in mine]
        assert one.means == tuple(pytest.approx(fmean(points[:k])) for k in one.seeds)
    report = collect(results, experiment_evidence(results), (), lambda *_: None)
    assert report.tasks[0].runners == tuple(went[method] for method in race.methods)
    drawn = page(report)
    assert "Rounds of seeds" in drawn
    assert "stopped after 2 seeds" in drawn


def test_a_page_without_a_race_has_no_rounds(plan_of: Make) -> None:
    plan, store = plan_of(seeds=[0, 1])
    contest.finish(plan.cells, store, SKILLS)
    results = results_so_far(plan, store)
    assert runners(results, contest.TASK) == ()
    found = page(collect(results, experiment_evidence(results), (), lambda *_: None))
    assert "Rounds of seeds" not in found


def test_a_picture_of_each_race_lies_among_the_results(plan_of: Make, tmp_path: Path) -> None:
    plan, store = plan_of()
    run(plan, store)
    (path,) = write_races(results_so_far(plan, store), tmp_path)
    assert path.name == "contest-rounds.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    listed, _ = plan_of(seeds=[0, 1])
    assert write_races(results_so_far(listed, store), tmp_path) == []
