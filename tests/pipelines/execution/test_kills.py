"""A stage killed at random moments, and taken up each time, ends as if nobody had touched it.

``FUSE_THEN_KILLS=10 pytest -s tests/pipelines/execution/test_kills.py`` kills ten times, in a
training of 12 epochs and in a fusing of 100 pairs, and half as often in each training of a network
that has two, and prints the moments.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_ins import no_report

from pipelines.datasets.scenes.writing import write_scenes
from pipelines.execution.devices import Slot
from pipelines.execution.runner import Step, make_step
from pipelines.execution.worker import StageFailed, Worker
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import Manifest, Stage
from pipelines.store.store import Store
from pipelines.tasks.task import task_of

KILLS = int(os.environ.get("FUSE_THEN_KILLS", "2"))
EPOCHS, PAIRS = KILLS + 2, 10 * KILLS
SLOT = (Slot("cpu", "test-slot", 1),)
pytestmark = [
    pytest.mark.training,
    pytest.mark.process,
    pytest.mark.timeout(200 + 100 * KILLS),  # each kill costs a worker's start
]
Write = Callable[..., Path]
Moment = Callable[[int], float | None]
"""Given the steps that are done, how many seconds later to kill; None is not now."""


class Killer:
    """A run of one stage whose worker is killed, by SIGKILL, when `moment` says so."""

    def __init__(self, stage: Stage, store: Store, moment: Moment) -> None:
        self.stage, self.store, self.moment = stage, store, moment
        self.seen: list[int] = []
        self.worker: Worker | None = None
        self.timer: threading.Timer | None = None

    def run(self) -> None:
        """Make the stage; StageFailed when the worker was killed before it was done."""
        step = Step("", (self.stage,))
        make_step(step, self.store, SLOT, 600.0, self.report, self.start)

    def start(self, device: str, threads: int, seconds: float) -> Worker:
        self.worker = Worker(device, threads, seconds)
        return self.worker

    def report(self, done: int, total: int, remark: str) -> None:
        if self.worker is None:  # waiting for a device
            return
        self.seen.append(done)
        seconds = self.moment(done) if self.timer is None else None
        if seconds is not None:
            self.timer = threading.Timer(seconds, self.worker.kill)
            self.timer.start()


def planned(path: Path, store: Store, task: str) -> tuple[Stage, ...]:
    plan = make_plan(load_experiment(str(path)), store, (task_of(task),), no_report)
    assert plan.blocked == ()
    return tuple(plan.cells[0].stages)


def made(stages: tuple[Stage, ...], store: Store, kind: str) -> Manifest:
    """Make the stages up to the one of `kind` without disturbance."""
    wanted = [stage.kind.name for stage in stages].index(kind)
    make_step(Step("", stages[: wanted + 1]), store, SLOT, 600.0, no_report(""))
    manifest = store.manifest(stages[wanted])
    assert manifest is not None
    return manifest


def killed(
    stage: Stage, store: Store, moment: Callable[[list[int]], Moment], kills: int = KILLS
) -> Manifest:
    """Make a stage with `kills` kills; `moment` is given what all runs before have seen."""
    seen: list[int] = []
    for number in range(kills):
        run = Killer(stage, store, moment(seen))
        with pytest.raises(StageFailed, match="ended with code -9"):
            run.run()
        assert run.timer is not None
        print(f"kill {number + 1}: {run.timer.interval:.3f} s after {run.seen[-1]} were done")
        seen += run.seen
    last = Killer(stage, store, lambda done: None)
    last.run()
    # None is left where the last kill came between the last state and the manifest.
    assert 1 not in last.seen, "it began anew"
    manifest = store.manifest(stage)
    assert manifest is not None
    return manifest


def test_a_killed_training_of_a_detector_ends_with_the_same_weights(
    write_experiment: Write, scenes_root: Path, tmp_path: Path
) -> None:
    boxes: dict[str, Any] = {"name": "boxes", "layout": "m3fd", "root": str(scenes_root / "m3fd")}
    boxes["split"] = {"file": str(scenes_root / "m3fd" / "split.yaml")}
    data: dict[str, Any] = {
        "dataset": boxes,
        "model": "yolov5n",
        "image_size": 96,
        "epochs": EPOCHS,
    }
    data |= {"batch": 2, "nominal_batch": 12, "close_mosaic": EPOCHS // 3, "checkpoint_minutes": 0}
    path = write_experiment(segmentation=None, detection=data)
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    expected = made(planned(path, whole, "detection"), whole, "train_detector")
    stages = planned(path, store, "detection")
    made(stages, store, "fuse")
    (training,) = (stage for stage in stages if stage.kind.name == "train_detector")
    lots = np.random.default_rng(0)

    def moment(seen: list[int]) -> Moment:
        target = max(seen, default=0) + 1
        # After the report of an epoch its state is written, and the next epoch trained.
        return lambda done: float(lots.uniform(0, 1)) if done >= target else None

    found = killed(training, store, moment)
    assert found.digest == expected.digest
    print(f"weights.pt: {found.digest} uninterrupted, and after {KILLS} kills")
    weights = [one.directory(training) / "weights.pt" for one in (whole, store)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not (store.directory(training) / "state.pt").exists()


def test_a_killed_fusing_ends_with_the_same_images(write_experiment: Write, tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", seed=0, train=2, val=0, test=PAIRS, height=96, width=96)
    masks = {"name": "masks", "layout": "msrs", "root": str(tmp_path / "scenes" / "msrs")}
    train = {"dataset": masks, "epochs": 1, "batch_size": 2, "crop": 32}
    network = {"name": "lkc_funet", "params": {"preset": "tiny"}, "train": train}
    scoring = {"dataset": masks, "metrics": ["SD"]}
    path = write_experiment(methods=[network], detection=None, segmentation=None, scoring=scoring)
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    expected = made(planned(path, whole, "scoring"), whole, "fuse")
    stages = planned(path, store, "scoring")
    made(stages, store, "train_fusion")
    (fusing,) = (stage for stage in stages if stage.kind.name == "fuse")
    lots = np.random.default_rng(0)

    def moment(seen: list[int]) -> Moment:
        target = max(seen, default=0) + int(lots.integers(2, 9))
        return lambda done: float(lots.uniform(0, 0.005)) if done >= target else None

    found = killed(fusing, store, moment)
    assert found.digest == expected.digest
    print(f"images: {found.digest} uninterrupted, and after {KILLS} kills")
    assert found.metrics["images"] == PAIRS
    assert 0 < found.metrics["kept"] < PAIRS


def test_a_network_killed_in_each_of_its_trainings_ends_with_the_same_weights(
    write_experiment: Write, tmp_path: Path
) -> None:
    write_scenes(tmp_path / "scenes", seed=0, train=4, val=0, test=1, height=96, width=96)
    masks = {"name": "masks", "layout": "msrs", "root": str(tmp_path / "scenes" / "msrs")}
    recipe = {"epochs": 6, "batch_size": 2, "crop": 64, "checkpoint_minutes": 0}
    train = {"dataset": masks, **recipe, "pretrain": recipe}
    network = {"name": "dm_fnet", "params": {"preset": "tiny"}, "train": train}
    scoring = {"dataset": masks, "metrics": ["SD"]}
    path = write_experiment(methods=[network], detection=None, segmentation=None, scoring=scoring)
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "killed")
    stages = planned(path, whole, "scoring")
    made(stages, whole, "train_fusion")
    lots = np.random.default_rng(0)

    def moment(seen: list[int]) -> Moment:
        target = max(seen, default=0) + 2
        return lambda done: float(lots.uniform(0, 0.1)) if done >= target else None

    for stage in stages[:2]:
        expected = whole.manifest(stage)
        found = killed(stage, store, moment, KILLS // 2)
        assert expected is not None
        assert found.digest == expected.digest
        print(f"{stage.kind.name}: {found.digest} uninterrupted, and after {KILLS // 2} kills")
        weights = [one.directory(stage) / "weights.pt" for one in (whole, store)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
