"""The detector's training as on a GPU: forked loaders, mixed precision, memory that ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detection.datasets import Annotation, Box
from detection.export import export
from detection.settings import DetectorSettings
from detection.yolo import loading, training
from detection.yolo.trainer import OurTrainer
from detection.yolo.training import DetectorResult, train
from fusion.errors import InputError
from fusion.pairs import write_png
from fusion.torch_tools import REHEARSED_IMAGES

pytestmark = pytest.mark.training

TINY = DetectorSettings(
    model="yolov5n", image_size=64, epochs=3, batch=4, nominal_batch=4, close_mosaic=1, mosaic=0.5
)


def changed(**values: Any) -> DetectorSettings:
    """The tiny settings with other values, checked."""
    return DetectorSettings(**{**dict(TINY), **values})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve square images of the network's own size, which nothing has to resize or pad."""
    folder = tmp_path_factory.mktemp("images")
    random, images, boxes = np.random.default_rng(0), {}, {}
    for name in (f"i{number}" for number in range(12)):
        picture = random.integers(0, 40, (64, 64, 3), np.uint8)
        x, y = (int(v) for v in random.integers(2, 40, 2))
        picture[y : y + 16, x : x + 16] = random.integers(100, 255, 3)
        images[name] = folder / f"{name}.png"
        write_png(images[name], picture)
        boxes[name] = Annotation(64, 64, (Box(0, x, y, x + 16, y + 16),))
    splits = {"train": list(images)[:10], "val": list(images)[10:]}
    return export(images, boxes, splits, ("square",), tmp_path_factory.mktemp("data"))


def rehearsed(data: Path, out: Path, **values: Any) -> DetectorResult:
    """Train as on an accelerator that has three cores."""
    return train(data, changed(**values), out, device="rehearse:0", threads=3)


def weights(result: DetectorResult) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(result.weights, weights_only=True)["state_dict"]
    return state


def same(first: DetectorResult, second: DetectorResult) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> DetectorResult:
    """Trained without any loader process, every image decoded whenever it is needed."""
    out = tmp_path_factory.mktemp("alone")
    return rehearsed(data, out, loader_processes=0, cache="none")


@pytest.mark.parametrize(("processes", "cache"), [(1, "none"), (2, "none"), (2, "memory")])
def test_loader_processes_and_memory_change_nothing(
    data: Path, alone: DetectorResult, tmp_path: Path, processes: int, cache: str
) -> None:
    result = rehearsed(data, tmp_path, loader_processes=processes, cache=cache)
    assert f"Using {processes} dataloader workers" in (tmp_path / "train.log").read_text()
    assert same(result, alone)


def test_on_a_cpu_memory_changes_nothing_either(data: Path, tmp_path: Path) -> None:
    none, memory = (
        train(data, changed(cache=cache), tmp_path / cache) for cache in ("none", "memory")
    )
    assert same(none, memory)


@pytest.mark.parametrize(("cache", "kept"), [("auto", False), ("memory", True), ("none", False)])
def test_auto_keeps_what_fits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, kept: bool
) -> None:
    monkeypatch.setattr(loading, "SHARE", 0.0)
    decoded: list[Path] = []
    own = torch.utils.data.DataLoader.__init__

    def look(loader: Any, *args: Any, **named: Any) -> None:
        decoded.append(vars(named["dataset"]).get("load_image"))
        own(loader, *args, **named)

    monkeypatch.setattr(torch.utils.data.DataLoader, "__init__", look)
    train(data, changed(cache=cache, epochs=1), tmp_path / "last")
    train(data, changed(cache=cache, epochs=1, select="best"), tmp_path / "best")
    assert [bool(item) for item in decoded] == [kept, False, kept, kept]  # train and val, twice


def test_bf16_is_computed_and_differs(data: Path, alone: DetectorResult, tmp_path: Path) -> None:
    result = rehearsed(data, tmp_path, precision="bf16")
    assert all(bool(torch.isfinite(value).all()) for value in weights(result).values())
    assert not same(result, alone)


def test_memory_that_ends_is_found_in_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REHEARSED_IMAGES, "3")
    epochs: list[int] = []
    with pytest.raises(
        InputError,
        match=r"memory of rehearse:0 is too small for 4 images of image_size: 64 at once; "
        r"set micro_batch: 2, whose gradients add up to those of batch: 4\.",
    ):
        train(data, TINY, tmp_path, device="rehearse:0", on_epoch=lambda *row: epochs.append(1))
    assert epochs == []
    assert rehearsed(data, tmp_path / "two", epochs=1, micro_batch=2).epochs == 1
    monkeypatch.setenv(REHEARSED_IMAGES, "0")
    with pytest.raises(InputError, match="lower image_size: 64 or take a smaller model"):
        rehearsed(data, tmp_path / "one", micro_batch=1)


def test_micro_batches_keep_steps_and_decay(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: dict[str, list[tuple[float, float]]] = {}

    class Watched(OurTrainer):
        def optimizer_step(self: Any) -> None:
            groups = self.optimizer.param_groups
            row = (max(g["weight_decay"] for g in groups), float(self.args.nbs))
            steps.setdefault(Path(self.args.project).name, []).append(row)
            super().optimizer_step()  # type: ignore[misc]

    monkeypatch.setattr(training, "OurTrainer", Watched)
    # 10 images in batches of 2, of which two make a step once it is warm.
    budget = {"batch": 2, "nominal_batch": 4, "warmup_epochs": 1.0, "weight_decay": 0.25}
    for name, micro in (("whole", None), ("micro", 1)):
        train(data, changed(micro_batch=micro, epochs=4, **budget), tmp_path / name)
    assert {row[0] for row in steps["whole"]} == {row[0] for row in steps["micro"]} == {0.25}
    assert abs(len(steps["whole"]) - len(steps["micro"])) <= 1  # while warming up, one may move
    odd = training._steps(changed(batch=12, micro_batch=3, nominal_batch=8, weight_decay=1e-3))
    assert odd == {"batch": 3, "nbs": 12, "weight_decay": pytest.approx(1.5e-3)}


def test_validation_every_other_epoch_and_last(data: Path, tmp_path: Path) -> None:
    result = train(data, changed(select="best", validate_every=2), tmp_path)
    metric = [row["metrics/mAP50-95"] for row in result.history]
    assert [math.isnan(value) for value in metric] == [True, False, False]


def test_micro_batches_divide_the_batch() -> None:
    with pytest.raises(ValueError, match="micro_batch: 3 does not divide batch: 4; give a divisor"):
        changed(micro_batch=3)
