"""The rows `early` and `late`: what is planned for them, and what they share with others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stand_ins import no_report, start_checker

from pipelines import work as steps
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.finished import read_results
from pipelines.results.protocol.deviations import deviations
from pipelines.results.tables import experiment_evidence
from pipelines.specs.loading import load_experiment
from pipelines.specs.method import MethodSpec
from pipelines.store.store import Store
from pipelines.tasks.task import task_of, tasks
from pipelines.views.formats import render
from pipelines.work import Work

Write = Callable[..., Path]
METHODS = ["infrared", "visible", "early", "late"]


@pytest.fixture
def plan(write_experiment: Write, tmp_path: Path) -> Callable[..., Plan]:
    def make(overrides: dict[str, Any] | None = None, **changes: Any) -> Plan:
        path = write_experiment(**{"methods": METHODS, **changes})
        spec, store = load_experiment(str(path), overrides), Store(tmp_path / "store")
        made = make_plan(spec, store, tasks(), no_report, start_checker)
        assert made.blocked == ()
        return made

    return make


def cell(made: Plan, method: str, task: str) -> Cell:
    found = [c for c in made.cells if (c.method.row, c.task.name) == (method, task)]
    return found[0]


@pytest.mark.parametrize(
    ("task", "last", "role"),
    [("detection", "join_boxes", "detect"), ("segmentation", "join_masks", "train_segmenter")],
)
def test_late_shares_all_but_its_last_stage(
    plan: Callable[..., Plan], task: str, last: str, role: str
) -> None:
    made = plan()
    both = [stage.key for m in ("infrared", "visible") for stage in cell(made, m, task).stages]
    late = cell(made, "late", task)
    assert [stage.key for stage in late.stages][:-1] == both
    assert late.result.kind.name == last
    assert {late.result.inputs[name].kind.name for name in ("infrared", "visible")} == {role}
    alone = plan(methods=["late"])
    assert cell(alone, "late", task).result.key == late.result.key
    assert plan(seeds=[3]).cells[-1].result.key != late.result.key


def test_a_row_that_joins_waits_for_all_that_it_joins(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: dict[str, set[str]] = {}

    def submit(title: str, *_: object, wait_for: list[SimpleNamespace]) -> SimpleNamespace:
        waited[title] = {future.title for future in wait_for}
        state = SimpleNamespace(is_completed=lambda: True)
        return SimpleNamespace(title=title, wait=lambda: None, state=state)

    monkeypatch.setattr(steps, "_submit_plainly", submit)
    monkeypatch.setattr(steps, "as_completed", lambda futures: futures)
    made = plan()
    work = Work(str(tmp_path), "cpu", 1)
    assert work.run(made, [one.steps for one in made.cells]) == []
    assert waited["detect on late (seed 0)"] >= {
        "detect on infrared (seed 0)",
        "detect on visible (seed 0)",
    }


def test_disturbed_pairs_reach_both_networks_and_train_neither(plan: Callable[..., Plan]) -> None:
    made = plan(perturb={"shift": [2]})
    clean = {stage.key for one in made.cells for stage in one.stages}
    for task, tested in (("detection", 3), ("segmentation", 1)):
        (late,) = (c for c in made.perturbed if (c.method.row, c.task.name) == ("late", task))
        kinds = [stage.kind.name for stage in late.stages]
        assert kinds.count("perturb") == 1
        assert kinds.count("fuse") == 2, "infrared and visible, each made of disturbed pairs"
        assert len(kinds) == 3 + tested
        assert not clean & {stage.key for stage in late.stages}
        order = [stage.key for stage in late.stages]
        for stage in late.stages:
            own = [source.key for source in stage.inputs.values() if source.key in order]
            assert all(order.index(key) < order.index(stage.key) for key in own)


def test_a_check_of_four_channels_is_another_one(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"model.0.conv.weight": torch.zeros(16, 3, 6, 6)}, tmp_path / "start.pt")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "pipelines.planning.preparation.Preparation.check",
        lambda self, stage: asked.append({"kind": stage.kind.name, **stage.spec}),
    )
    start = {"detection.initial_checkpoint": str(tmp_path / "start.pt")}
    plan(start, methods=["visible", "early"])
    for kind in ("check_detector", "check_segmenter"):
        assert {one.get("channels", 3) for one in asked if one["kind"] == kind} == {3, 4}


def test_scores_leave_them_out_and_say_so(
    plan: Callable[..., Plan], write_experiment: Write, tmp_path: Path
) -> None:
    data = load_experiment(str(write_experiment())).sections["segmentation"].dataset
    plain = data.model_dump(mode="json", exclude_defaults=True)
    made = plan(scoring={"dataset": plain})
    assert not [c for c in made.cells if c.task.per_image and not c.method.makes_images]
    evidence = experiment_evidence(read_results(made, Store(tmp_path / "store")))
    table = next(one.table for one in evidence if one.task.per_image)
    assert {row.label: row.wanted for row in table.rows}["late"] == 0
    (line,) = (one for one in render(table, "text").splitlines() if one.startswith("early  "))
    assert set(line.split()[1:]) == {"-"}
    assert "early, late: no fused image is made, so that there is none to score." in table.notes


def test_what_they_are_is_among_the_deviations(plan: Callable[..., Plan]) -> None:
    experiment = plan().experiment
    told = " ".join(deviations(experiment, task_of("detection")))
    assert "early: a control that is not in the paper; one network sees four channels" in told
    assert "late: a control" in told
    assert "boxes by weighted box fusion at IoU 0.55." in told
    told = " ".join(deviations(experiment, task_of("segmentation")))
    assert "the mean of the class probabilities of every pixel." in told


def test_late_has_no_network_to_fuse_with() -> None:
    with pytest.raises(ValueError, match="late has no network to fuse with"):
        MethodSpec(name="late", checkpoint=Path("w.pt"))
    assert not MethodSpec(name="early").makes_images
    assert MethodSpec(name="nothing").makes_images, "what is wrong with it is said later"


def test_an_unknown_row_is_answered_with_the_one_that_was_meant(
    write_experiment: Write, tmp_path: Path
) -> None:
    spec = load_experiment(str(write_experiment(methods=["lat"])))
    made = make_plan(spec, Store(tmp_path / "store"), tasks(), no_report, start_checker)
    assert 'Did you mean "late"?' in made.blocked[0][1]
