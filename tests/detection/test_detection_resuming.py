"""A detector's training that is interrupted and taken up ends equal to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detection.datasets import Annotation, Box
from detection.export import export
from detection.settings import DetectorSettings
from detection.yolo import draws
from detection.yolo.training import train
from fusion.errors import InputError
from fusion.pairs import write_png

pytestmark = pytest.mark.training

TINY = DetectorSettings(
    model="yolov5n", image_size=64, epochs=5, batch=2, nominal_batch=4, checkpoint_minutes=0
)
CASES: dict[str, dict[str, object]] = {
    # Five batches an epoch and up to three of them a step: gradients pass from epoch to epoch.
    "accumulated": {"nominal_batch": 6, "warmup_epochs": 2, "close_mosaic": 2},
    "validated": {"nominal_batch": 2, "warmup_epochs": 0, "close_mosaic": 5, "select": "best"},
    "decoded": {"cache": "none", "micro_batch": 1, "nominal_batch": 4, "close_mosaic": 2},
    "processes": {"device": "rehearse:1", "loader_processes": 2, "close_mosaic": 2},
    "adam": {"optimizer": "AdamW", "learning_rate": 1e-3, "batch": 5, "close_mosaic": 0},
}


class StopError(Exception):
    pass


def stop_after(epochs: int) -> Callable[[int, int, dict[str, float]], None]:
    def stop(done: int, total: int, metrics: dict[str, float]) -> None:
        if done == epochs:
            raise StopError

    return stop


def changed(**values: object) -> DetectorSettings:
    return DetectorSettings.model_validate({**dict(TINY), **values})


@pytest.fixture(scope="module")
def data_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training images with a bright square each, and two to validate on."""
    folder, lots = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    splits = {"train": [f"t{i}" for i in range(10)], "val": ["v0", "v1"]}
    images, annotations = {}, {}
    for name in [*splits["train"], *splits["val"]]:
        image = lots.integers(0, 40, (48, 64), np.uint8)
        x, y = (int(v) for v in lots.integers(2, 30, 2))
        image[y : y + 16, x : x + 16] = 240
        images[name] = folder / f"{name}.png"
        write_png(images[name], image)
        annotations[name] = Annotation(64, 48, (Box(0, x, y, x + 16, y + 16),))
    return export(images, annotations, splits, ("square",), folder / "data")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows(out: Path) -> list[list[str]]:
    """Return results.csv without its second column, the time."""
    lines = (out / "run" / "results.csv").read_text().splitlines()
    return [[part for n, part in enumerate(line.split(",")) if n != 1] for line in lines]


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_training_ends_with_the_same_weights(
    data_yaml: Path, tmp_path: Path, case: str
) -> None:
    settings = changed(**{k: v for k, v in CASES[case].items() if k != "device"})
    where = str(CASES[case].get("device", "cpu"))
    whole = train(data_yaml, settings, tmp_path / "whole", device=where)
    for epoch in (2, 3, 4, 5):  # the state of an epoch is written after its report
        with pytest.raises(StopError):
            train(data_yaml, settings, tmp_path / "cut", device=where, on_epoch=stop_after(epoch))
    ran: list[int] = []
    cut = train(
        data_yaml,
        settings,
        tmp_path / "cut",
        device=where,
        on_epoch=lambda done, *_: ran.append(done),
    )
    assert ran == [5]
    assert digest(cut.weights) == digest(whole.weights)
    assert cut.history == whole.history
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    again = train(data_yaml, settings, tmp_path / "cut", device=where, on_epoch=stop_after(5))
    assert digest(again.weights) == digest(whole.weights), "nothing was left to train"
    earlier = torch.load(tmp_path / "cut" / "state.pt", weights_only=True)["seconds"]
    assert again.seconds > earlier > 0


@pytest.mark.parametrize("part", ["_advanced", "_restore_generators"])
def test_order_and_augmentations_are_what_the_saved_draws_are_for(
    data_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    settings = changed(epochs=3, close_mosaic=0)
    whole = train(data_yaml, settings, tmp_path / "whole")
    with pytest.raises(StopError):
        train(data_yaml, settings, tmp_path / "cut", on_epoch=stop_after(2))
    without = {"_advanced": lambda loader, make, spans: make(), "_restore_generators": no_state}
    monkeypatch.setattr(draws, part, without[part])
    cut = train(data_yaml, settings, tmp_path / "cut")
    assert digest(cut.weights) != digest(whole.weights)


def no_state(trainer: object, kept: object, *, transforms: bool) -> None:
    """Restore nothing."""


def test_states_are_written_by_the_minute(data_yaml: Path, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        train(data_yaml, changed(checkpoint_minutes=10), tmp_path, on_epoch=stop_after(3))
    assert not (tmp_path / "state.pt").exists()


def test_the_state_of_another_training_is_refused(data_yaml: Path, tmp_path: Path) -> None:
    train(data_yaml, changed(epochs=1), tmp_path)
    with pytest.raises(InputError, match="belongs to a training with other settings, seed"):
        train(data_yaml, changed(epochs=1), tmp_path, seed=1)
    with pytest.raises(InputError, match="belongs to a training with other settings, seed"):
        train(data_yaml, changed(epochs=2), tmp_path)
    torch.save({"w": 1}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="is not a detector's training state"):
        train(data_yaml, changed(epochs=1), tmp_path)
