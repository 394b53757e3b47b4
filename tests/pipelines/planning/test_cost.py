"""What a plan says of hours, disk and memory, and how it knows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion import load_method
from pipelines.cli.app import main
from pipelines.execution.devices import Slot
from pipelines.execution.job import Job
from pipelines.planning.cost.estimates import Estimator, flop, two_digits
from pipelines.planning.cost.history import Past, Works, read_history
from pipelines.planning.cost.networks import Networks, processor_of
from pipelines.planning.cost.summary import duration, size
from pipelines.specs.loading import load_experiment
from pipelines.store.provenance import provenance
from pipelines.store.stage import Stage, stage_of
from pipelines.store.store import Store
from pipelines.tasks import detection, fusion, segmentation
from pipelines.tasks.probes import calibrate, count
from pipelines.tasks.task import tasks
from pipelines.tasks.work import UNKNOWN, Sizes, Work

pytestmark = pytest.mark.process

Write = Callable[..., Path]
M3FD = Sizes(3360, 420, 420, 4200, 768, 1024, 1e6)
MSRS = Sizes(1083, 0, 361, 1444, 480, 640, 4e5)
SLOT = Slot("cpu", "cpu-0", 1)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shipped experiments need is not there."""
    monkeypatch.setenv("FUSE_THEN_DATA", "/nowhere")


@pytest.fixture
def networks(tmp_path: Path, shared_worker: SimpleNamespace) -> Iterator[Networks]:
    """Networks of an empty store."""
    report = lambda _title: lambda *_: None  # noqa: E731 - a silent reporter
    with Networks(Store(tmp_path / "store"), [SLOT], report, shared_worker.start) as made:
        yield made


def operations(networks: Networks, work: Work) -> float:
    counted = networks.count(work)
    assert counted is not None
    return counted.operations_per_pixel * work.pixels


def settings_of(name: str, section: str) -> dict[str, Any]:
    spec = load_experiment(name, {})
    return dict(spec.sections[section].model_dump(mode="json"))


def test_the_tables_take_the_operations_that_their_networks_have(networks: Networks) -> None:
    """Counted by hand: 23.8 and 383 GFLOP a forward pass, three times that a training step."""
    settings = {**settings_of("table4", "detection"), "select": "last"}
    training = stage_of(detection.TRAIN, {"settings": settings})
    assert operations(networks, detection.training_work(training, M3FD)) == pytest.approx(
        23.8352e9 * 3 * 3360 * 1000, rel=1e-3
    )
    training = stage_of(segmentation.TRAIN, {"settings": settings_of("table5", "segmentation")})
    assert operations(networks, segmentation.training_work(training, MSRS)) == pytest.approx(
        383.36e9 * 3 * 1083 * 500, rel=1e-3
    )


def test_a_fusion_network_is_counted_as_its_plain_convolutions(networks: Networks) -> None:
    method = {"method": "lkc_funet", "params": {"preset": "paper"}, "code": ""}
    recipe = {
        "batch_size": 32,
        "crop": 64,
        "crops_per_image": 1,
        "epochs": 1000,
        "validate_every": 1,
    }
    training = stage_of(fusion.TRAIN, {**method, "settings": recipe})
    work = fusion.training_work(training, MSRS)
    assert work.images == 33 * 32  # the last batch is not full
    assert operations(networks, work) == pytest.approx(763e15, rel=0.01)
    fusing = fusion.fusing_work(stage_of(fusion.FUSE, method), M3FD)
    assert operations(networks, fusing) == pytest.approx(194e15, rel=0.01)


def test_validation_counts_by_its_share(networks: Networks) -> None:
    settings = {**settings_of("table4", "detection"), "select": "best"}
    best = detection.training_work(stage_of(detection.TRAIN, {"settings": settings}), M3FD)
    assert best.images == 3360 + 420 / 3


@pytest.mark.parametrize(
    ("pixels", "longer", "shorter"), [((768, 1024), 640, 480), ((200, 100), 640, 320)]
)
def test_tested_images_are_letterboxed(pixels: tuple[int, int], longer: int, shorter: int) -> None:
    trained = stage_of(detection.TRAIN, {"settings": {"model": "yolov5n"}})
    stage = stage_of(detection.TEST, {"image_size": 640}, {"detector": trained})
    work = detection.testing_work(stage, Sizes(1, 0, 4, 5, *pixels, 1e3))
    assert sorted((work.height, work.width)) == [shorter, longer]
    assert work.handled == 4 * math.prod(pixels)


def test_every_task_says_the_work_of_its_stages() -> None:
    for task in tasks():
        assert task.works, task.name
    assert set(fusion.WORKS) == {"pretrain_fusion", "train_fusion", "fuse", "perturb"}


def test_a_network_that_looks_at_its_values_is_counted_on_a_small_image(tmp_path: Path) -> None:
    spec = {"network": "pipelines.tasks.fusion:network", "training": False}
    given = {"method": "lrrnet", "params": {}}

    facts = {**spec, "given": given, "height": 512, "width": 512}
    found = count(Job("", facts, {}, {}, tmp_path, "cpu", 1, lambda *_: None))["operations"]
    with FlopCounterMode(display=False) as counter:
        load_method("lrrnet").fuse(*torch.rand(2, 1, 1, 64, 64))
    assert found == pytest.approx(counter.get_total_flops() * 8**2)


def test_calibration_begins_small_and_ends_in_time(tmp_path: Path) -> None:
    spec = {
        "network": "pipelines.tasks.fusion:network",
        "given": {"method": "lkc_funet", "params": {"preset": "tiny"}},
        "training": True,
        "precision": "fp32",
        "height": 2048,
        "width": 2048,
        "batch": 64,
    }
    made = calibrate(Job("", spec, {}, {"seconds": 0.3}, tmp_path, "cpu", 1, lambda *_: None))
    assert made["pixels_per_second"] > 0
    assert (made["batch"], made["height"]) < (3, 1024)


def past(title: str, seconds: float, images: float, **changes: Any) -> Past:
    """Return a finished stage of 10 x 10 pixels an image, of a network called n."""
    facts = {"network": "n", "given": {"name": "n"}, "images": images, "height": 10, "width": 10}
    work = Work(**{**facts, **changes.pop("work", {})})
    told = {"processor": "here", "megabytes": 100.0, "stored": 1000, **changes}
    return Past(title, work, seconds, **told)


class Fixed(Works):
    """Works that are told."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def of(self, stage: Stage) -> Work:
        return self.work


def estimator(history: list[Past], networks: Any, images: float = 100.0) -> Estimator:
    work = Work("n", {"name": "n"}, images, 10, 10)
    return Estimator("here", history, Fixed(work), networks)


NOTHING = SimpleNamespace(count=lambda _: None, speed=lambda _: None, file_speed=lambda: None)
STAGE = stage_of(fusion.FUSE, {}, local={"dataset": {"name": "mine"}})


def test_history_is_scaled_by_the_work() -> None:
    """50 images took 10, 12 and 20 s; made elsewhere or of another size is no help."""
    like = [past(f"fuse/{n}", seconds, 50) for n, seconds in enumerate((10.0, 20.0, 12.0))]
    other = [
        past("fuse/elsewhere", 1.0, 50, processor="there"),
        past("fuse/small", 1.0, 1),
        past("fuse/another", 1.0, 50, work={"given": {"name": "m"}}),
        past("detect/x", 1.0, 50),
        past(STAGE.title, 1.0, 100),
    ]
    found = estimator([*other, *like], NOTHING).estimate(STAGE)
    assert found is not None
    assert (found.seconds, found.low, found.high) == (24.0, 20.0, 40.0)
    assert found.basis == "from 3 stages made here, scaled by 2"
    assert (found.stored, found.megabytes) == (1000, 100.0)


def test_memory_is_that_of_the_same_batch_and_size() -> None:
    history = [past("fuse/a", 1.0, 100, work={"batch": 8})]
    found = estimator(history, NOTHING).estimate(STAGE)
    assert found is not None
    assert found.megabytes is None


def test_operations_and_speed_tell_the_time_where_there_is_no_history() -> None:
    counted = SimpleNamespace(operations_per_pixel=1e9, parameters=5, light=False)
    speed = SimpleNamespace(pixels_per_second=1000.0, start_seconds=3.0)
    known = SimpleNamespace(count=lambda _: counted, speed=lambda _: speed, file_speed=lambda: 1e6)
    found = estimator([], known).estimate(STAGE)
    assert found is not None
    assert found.seconds == 13.0
    assert found.basis == "counted: 10 TFLOP at a measured 1.0 TFLOP/s"
    heavier = [past("fuse/a", 8.0, 100, work={"given": {"name": "m"}})]
    known.speed = lambda _: None
    found = estimator(heavier, known).estimate(STAGE)
    assert found is not None
    assert (found.seconds, found.basis) == (8.0, "from 1 stage with other networks")


def test_what_is_not_known_is_said() -> None:
    found = estimator([], NOTHING, images=UNKNOWN.pairs).estimate(STAGE)
    assert found is not None
    assert (found.seconds, found.stored is None or found.stored, found.megabytes) == (None, 0, None)
    assert found.basis == 'how many images is not known: "mine" is not there'


def test_history_is_read_from_manifests(tmp_path: Path, scenes_root: Path) -> None:
    store = Store(tmp_path / "store")
    spec = load_experiment("smoke", {}).sections["detection"].dataset.model_dump(mode="json")
    local = {"dataset": {**spec, "scenes": None, "root": str(scenes_root / "m3fd")}}
    method = {"method": "average", "params": {}, "code": ""}
    stage = stage_of(fusion.FUSE, method, local=local)
    with store.claim(stage, keep=False) as folder:
        (folder / "images").mkdir()
        (folder / "images" / "a.png").write_bytes(b"12345")
        facts = {"seconds": 7.5, "device": "cpu", "threads": 1, "metrics": {}, "started": ""}
        store.commit(stage, {**facts, **provenance()})
    (found,) = read_history(store, Works())
    assert (found.title, found.seconds) == (stage.title, 7.5)
    assert found.processor == processor_of(SLOT)
    assert found.stored > 5
    assert found.work.images == len(list((scenes_root / "m3fd" / "Ir").iterdir()))


def test_a_plan_ends_with_its_cost_and_keeps_the_calibration(
    write_experiment: Write,
    tmp_path: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_experiment(segmentation=None)
    command = ["plan", str(path), "--store", str(tmp_path / "s"), "--jobs", "2"]
    assert main(command) == 0
    before = capsys.readouterr().out
    assert "see --calibrate" in before
    assert "without 3 stages of unknown time" in before
    assert main([*command, "--calibrate"]) == 0
    after = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert after[0] == f"Cost on {processor_of(SLOT)}:" or " of " in after[0]
    kinds = [line.split()[0] for line in after[2:-1]]
    assert kinds == ["fuse", "train_detector", "detect"]
    assert "FLOP at a measured" in after[3]
    assert after[-1].startswith("In all ")
    assert "with 2 at once" in after[-1]
    assert main(command) == 0
    assert capsys.readouterr().out.split("\n\n")[-1].splitlines()[:5] == after[:5]


def test_a_blocked_plan_says_what_can_be_known(
    tmp_path: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = ["--set", "methods=[visible]"]
    assert main(["plan", "table4", *changes, "--store", str(tmp_path / "s")]) == 2
    out = capsys.readouterr().out
    assert out.split("blocked: train_detector")[1].split()[:2] == ["yolov5s", "1"]
    assert "72 GFLOP an image in each of 1000 epochs" in out
    assert 'how many images is not known: "m3fd" is not there' in out
    assert json.dumps("m3fd") in out


def test_numbers_are_of_two_digits() -> None:
    assert [two_digits(n) for n in (0, 0.0123, 1.26, 9.96, 12.4, 240.3)] == [
        "0",
        "0.012",
        "1.3",
        "10.0",
        "12",
        "240",
    ]
    assert [flop(n) for n in (239.6e15, 1.5e12, 3e9)] == ["240 PFLOP", "1.5 TFLOP", "3.0 GFLOP"]
    assert [duration(s) for s in (41.2, 390, 74.2 * 3600)] == ["41 s", "6.5 min", "74 h"]
    assert [size(b) for b in (6.62e6, 1.2e10, 900)] == ["6.6 MB", "12 GB", "0.90 kB"]
