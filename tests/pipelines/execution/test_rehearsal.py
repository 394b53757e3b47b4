"""Everything that runs on a GPU, in the worker that it would run in, on the rehearsal of two."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import InputError
from fusion.torch_tools import REHEARSED_IMAGES
from pipelines.execution.devices import slots
from pipelines.execution.runner import Step, make_step
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import task_of

pytestmark = pytest.mark.training

Write = Callable[..., Path]
TWO = slots("rehearse:2", cores=lambda: 4)
MIXED = {"precision": "bf16"}


def silent(done: int, total: int, remark: str) -> None:
    """Report nothing."""


@pytest.fixture
def plan(scenes_root: Path, write_experiment: Write, tmp_path: Path) -> Plan:
    """A fusion network to be trained, its images detected, segmented and scored, all in bf16."""
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    train = {"dataset": masks, "epochs": 1, "batch_size": 2, "crop": 32, **MIXED}
    network = {"name": "lkc_funet", "params": {"preset": "tiny"}, "train": train}
    scoring = {"dataset": masks, "metrics": ["SD"]}
    path = write_experiment(scenes_root, methods=[network], scoring=scoring)
    changes: dict[str, Any] = {
        "detection.precision": "bf16",
        "detection.batch": 4,
        "detection.loader_processes": 2,
        "segmentation.precision": "bf16",
    }
    spec = load_experiment(str(path), changes)
    wanted = tuple(map(task_of, ("detection", "segmentation", "scoring")))
    made = make_plan(spec, Store(tmp_path / "store"), wanted, lambda title: silent)
    assert made.blocked == ()
    return made


def make(steps: tuple[Step, ...], store: Store) -> None:
    for step in steps:
        make_step(step, store, TWO, 240.0, silent)


def test_all_that_a_gpu_does_is_rehearsed(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    detection, segmentation, scoring = (cell.steps for cell in plan.cells)
    with ThreadPoolExecutor(2) as both:  # they share the fusion network's steps
        list(both.map(lambda steps: make(steps, store), (detection, segmentation)))
    make(scoring, store)
    stages = {stage.kind.name: stage for cell in plan.cells for stage in cell.stages}
    trained = {"train_fusion", "train_detector", "train_segmenter"}
    assert trained | {"fuse", "detect", "segment", "score"} <= stages.keys()
    used = {
        json.loads((store.directory(stage) / "manifest.json").read_text())["device"]
        for stage in stages.values()
    }
    assert used <= {"rehearse:0", "rehearse:1"}
    log = store.directory(stages["train_detector"]) / "train.log"
    assert "Using 2 dataloader workers" in log.read_text()


def test_a_step_without_room_says_so_through_the_worker(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REHEARSED_IMAGES, "1")
    with pytest.raises(InputError, match=r"rehearse:0 is too small for batch_size: 2"):
        make(plan.cells[0].steps, Store(tmp_path / "store"))
