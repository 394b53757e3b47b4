"""Training: the crops, the settings, exact resuming, and what is left on disk."""

import csv
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fusion import load_method, registry
from fusion.errors import InputError
from fusion.pairs import ImagePair, list_pairs, read_rgb, write_png
from fusion.torch_tools import REHEARSED_IMAGES
from fusion.training.data import PairMemory
from fusion.training.settings import TrainSettings
from fusion.training.train import TrainResult, train
from fusion.weights.checkpoints import read_checkpoint

pytestmark = pytest.mark.training

TOY = '''"""Toy: one convolution and dropout, to train in no time.

Paper: none
Licence: MIT
Checkpoint: none
"""
import torch
from torch import nn
from fusion.method import FusionMethod

class Toy(FusionMethod):
    """A convolution; `bad_step` makes the loss NaN once that many losses were asked for."""

    needs_checkpoint = True
    trainable = True
    presets = {"wide": {"width": 6}}

    def __init__(self, width: int = 4, bad_step: int = 0):
        super().__init__()
        self.bad_step, self.calls = bad_step, 0
        self.net = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Dropout(0.3), nn.Conv2d(width, 1, 1),
        )

    def forward(self, infrared, visible):
        return self.net(torch.cat([infrared, visible], 1))

    def loss(self, infrared, visible):
        self.calls += 1
        part = (self(infrared, visible) - torch.maximum(infrared, visible)).abs().mean()
        nan = torch.nan if self.calls == self.bad_step else 1.0
        return {"total": 2 * part * nan, "intensity": part}
'''

SETTINGS = TrainSettings(
    epochs=5, batch_size=4, crop=8, learning_rate=1e-2, crops_per_image=3, checkpoint_minutes=0
)


def changed(**change: object) -> TrainSettings:
    return TrainSettings(**{**SETTINGS.model_dump(), **change})


@pytest.fixture(autouse=True)
def _toy(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "fuse_then_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(folder))
    point = EntryPoint("toy", "fuse_then_toy", registry.PLUGIN_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        for i in range(6):
            image = rng.integers(0, 256, (12 + i, 16), dtype=np.uint8)
            write_png(tmp_path / folder / f"p{i}.png", image)
    return list_pairs(tmp_path / "ir", tmp_path / "vi")


def run(pairs: list[ImagePair], out: Path, settings: TrainSettings = SETTINGS, **more):
    params = more.pop("params", {})
    return train("toy", params, pairs[:4], pairs[4:], settings, out, threads=1, **more)


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    return read_checkpoint(result.checkpoint).state_dict


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class StopError(Exception):
    pass


def stop_at(epoch: int):
    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise StopError

    return stop


def test_training_lowers_the_loss_and_leaves_its_files(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    seen: list[float] = []
    out = tmp_path / "out"
    settings = changed(epochs=12)
    result = run(
        pairs, out, settings, params={"preset": "wide"}, on_epoch=lambda r: seen.append(r["epoch"])
    )
    assert seen == list(range(1, 13))
    assert result.history[-1]["total"] < 0.8 * result.history[0]["total"]
    assert result.history[-1]["val_total"] < result.history[0]["val_total"]
    assert all(row["total"] == pytest.approx(2 * row["intensity"]) for row in result.history)
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in result.history))
    names = {path.name for path in out.iterdir()}
    assert names == {"weights.pt", "state.pt", "history.csv", "samples.png"}
    method = load_method("toy", result.checkpoint)
    assert method.net[0].out_channels == 6
    assert same(dict(method.state_dict()), weights(result))
    assert read_rgb(out / "samples.png").shape[1] == 3 * 256 + 2 * 4


def test_history_is_written_as_csv(pairs: list[ImagePair], tmp_path: Path) -> None:
    result = run(pairs, tmp_path / "out", changed(validate_every=2))
    with (tmp_path / "out" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "total", "intensity", "seconds", "val_total"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["val_total"] != "" for row in rows] == [False, True, False, True, True]
    assert float(rows[3]["total"]) == result.history[3]["total"]


@pytest.mark.parametrize("interrupted", [1, 2, 3, 4])
def test_an_interrupted_training_ends_with_the_same_weights(
    pairs: list[ImagePair], tmp_path: Path, interrupted: int
) -> None:
    whole = run(pairs, tmp_path / "whole")
    with pytest.raises(StopError):
        run(pairs, tmp_path / "cut", on_epoch=stop_at(interrupted))
    torch.rand(3)  # whatever the process drew in between must not matter
    ran: list[float] = []
    cut = run(pairs, tmp_path / "cut", on_epoch=lambda row: ran.append(row["epoch"]))
    assert ran == list(range(interrupted + 1, 6))
    assert same(weights(whole), weights(cut))
    assert [r["total"] for r in whole.history] == [r["total"] for r in cut.history]
    assert [r["val_total"] for r in whole.history] == [r["val_total"] for r in cut.history]


def test_dropout_is_what_the_saved_random_state_is_for(
    pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(pairs, tmp_path / "whole")
    with pytest.raises(StopError):
        run(pairs, tmp_path / "cut", on_epoch=stop_at(2))
    monkeypatch.setattr(torch, "set_rng_state", lambda _: None)
    cut = run(pairs, tmp_path / "cut")
    assert not same(weights(whole), weights(cut))


def test_a_finished_training_may_be_prolonged(pairs: list[ImagePair], tmp_path: Path) -> None:
    whole = run(pairs, tmp_path / "whole")
    run(pairs, tmp_path / "out", changed(epochs=3))
    ran: list[float] = []
    longer = run(pairs, tmp_path / "out", on_epoch=lambda row: ran.append(row["epoch"]))
    assert ran == [4, 5]
    assert same(weights(longer), weights(whole))
    again = run(pairs, tmp_path / "out", on_epoch=stop_at(5))  # nothing is left to run
    assert again.history == longer.history
    with pytest.raises(InputError, match="already 5 epochs, more than the 2"):
        run(pairs, tmp_path / "out", changed(epochs=2))


def test_seed_decides_everything(pairs: list[ImagePair], tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = weights(run(pairs, tmp_path / "a"))
    assert torch.equal(before, torch.get_rng_state())  # the caller's randomness is untouched
    torch.manual_seed(6)
    second = weights(run(pairs, tmp_path / "b"))
    other = weights(run(pairs, tmp_path / "c", seed=1))
    assert same(first, second)
    assert not torch.equal(first["net.0.weight"], other["net.0.weight"])


def test_validation_does_not_disturb_training(pairs: list[ImagePair], tmp_path: Path) -> None:
    often = weights(run(pairs, tmp_path / "a"))
    never = weights(train("toy", {}, pairs[:4], [], SETTINGS, tmp_path / "b", threads=1))
    assert same(often, never)


def test_threads_are_given_back(pairs: list[ImagePair], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with pytest.raises(StopError):
        run(pairs, tmp_path / "out", on_epoch=stop_at(1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": 0.5}, "learning_rate = 0.01, not 0.5"),
        ({"crop": 9}, "crop = 8, not 9"),
    ],
)
def test_a_state_of_other_settings_is_refused(
    pairs: list[ImagePair], tmp_path: Path, change: dict, said: str
) -> None:
    run(pairs, tmp_path / "out", changed(epochs=1))
    with pytest.raises(InputError, match="training with seed = 0, not 3"):
        run(pairs, tmp_path / "out", seed=3)
    with pytest.raises(InputError, match=rf"state\.pt was left by a training with {said}"):
        run(pairs, tmp_path / "out", changed(**change))


def test_a_state_of_other_images_or_parameters_is_refused(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    run(pairs, tmp_path / "out", changed(epochs=1))
    with pytest.raises(InputError, match=r"params = .*, not \{'width': 6\}"):
        run(pairs, tmp_path / "out", params={"width": 6})
    write_png(pairs[0].visible, np.zeros((12, 16), np.uint8))
    with pytest.raises(InputError, match="with training images = "):
        run(pairs, tmp_path / "out")


def test_a_damaged_or_foreign_state_is_named(pairs: list[ImagePair], tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    state.write_bytes(b"half")
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        run(pairs, tmp_path)
    torch.save({"w": 1}, state)
    with pytest.raises(InputError, match=r"state\.pt is not a training state; delete it"):
        run(pairs, tmp_path)


def test_a_loss_that_is_not_finite_stops_with_a_remedy(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    said = r"became nan in epoch 2, step 2; lower learning_rate \(now 0\.01\)"
    with pytest.raises(InputError, match=said):
        # three steps and one validation batch make epoch 1
        run(pairs, tmp_path / "out", params={"bad_step": 6})
    assert not (tmp_path / "out" / "weights.pt").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 13}, r"4 training pairs x 3 crops_per_image .* one batch of 13"),
        ({"crop": 13}, r"ir/p0\.png is 16x12, smaller than the training crop of 13"),
        ({"precision": "bf16"}, 'precision: "bf16" needs a CUDA device, and this is "cpu"'),
        ({"precision": "tf32"}, 'precision: "tf32" needs a CUDA device, and this is "cpu"'),
    ],
)
def test_settings_that_do_not_fit_the_images(
    pairs: list[ImagePair], tmp_path: Path, change: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(pairs, tmp_path / "out", changed(**change))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", 0, "greater than or equal to 1"),
        ("batch_size", 2.5, "a valid integer"),
        ("crop", True, "a valid integer"),
        ("crop", 7, "greater than or equal to 8"),
        ("seed", 1, "Extra inputs are not permitted"),
        ("checkpoint_minutes", -1, "greater than or equal to 0"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", float("nan"), "a finite number"),
        ("learning_rate", "1e-4", "a valid number"),
        ("precision", "fp16", "'fp32', 'tf32' or 'bf16'"),
    ],
)
def test_settings_are_checked(key: str, value: object, said: str) -> None:
    with pytest.raises(ValidationError, match=rf"{key}\n  .*{said}.*input_value={value!r}"):
        changed(**{key: value})


def test_a_rehearsal_in_fp32_is_the_cpu(pairs: list[ImagePair], tmp_path: Path) -> None:
    cpu, rehearsed = (run(pairs, tmp_path / d[:3], device=d) for d in ("cpu", "rehearse:0"))
    assert same(weights(cpu), weights(rehearsed))


def test_bf16_mixes_and_keeps_float32_weights(pairs: list[ImagePair], tmp_path: Path) -> None:
    full = run(pairs, tmp_path / "full", device="rehearse:0")
    half = run(pairs, tmp_path / "half", changed(precision="bf16"), device="rehearse:0")
    assert {value.dtype for value in weights(half).values()} <= {torch.float32, torch.int64}
    assert not same(weights(full), weights(half))


def test_memory_that_ends_is_told_with_the_remedy(
    pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(REHEARSED_IMAGES, "3")
    said = r"memory of rehearse:0 is too small for batch_size: 4 with crop: 8; lower one of them\."
    with pytest.raises(InputError, match=said):
        run(pairs, tmp_path / "out", device="rehearse:0")
    run(pairs, tmp_path / "out", changed(batch_size=3), device="rehearse:0")


def test_defaults_are_the_papers() -> None:
    settings = TrainSettings(epochs=1000)
    assert (settings.batch_size, settings.crop, settings.learning_rate) == (32, 64, 1e-4)
    assert settings.crops_per_image == 1


def test_methods_without_a_recipe(pairs: list[ImagePair], tmp_path: Path) -> None:
    with pytest.raises(InputError, match='"average" has no training recipe'):
        train("average", {}, pairs, [], SETTINGS, tmp_path / "out")
    with pytest.raises(InputError, match='no parameter "widht"'):
        run(pairs, tmp_path / "out", params={"widht": 3})


def test_an_epoch_can_be_rebuilt_from_its_number(pairs: list[ImagePair]) -> None:
    memory = PairMemory(pairs, 8)
    once, again = (list(memory.epoch(0, 3, 4, 2)) for _ in range(2))
    assert len(once) == memory.steps(4, 2) == 3  # 12 crops, none is dropped
    assert len(list(memory.epoch(0, 3, 5, 2))) == 2  # two of them are
    for first, second in zip(once, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = next(memory.epoch(0, 4, 4, 2))
    assert not torch.equal(once[0][0], other[0])
    assert once[0][0].shape == (4, 1, 8, 8)
    assert once[0][0].dtype == torch.uint8


def test_crops_stay_aligned_and_are_flipped_both_ways(tmp_path: Path) -> None:
    grid = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    write_png(tmp_path / "a.png", grid)
    write_png(tmp_path / "b.png", 255 - grid)
    memory = PairMemory([ImagePair("x", tmp_path / "a.png", tmp_path / "b.png")], 8)
    flips, places = [], set()
    for infrared, visible in memory.epoch(0, 1, 1, 400):
        assert torch.equal(255 - infrared, visible)
        crop = infrared[0, 0].int()
        right, down = int(crop[0, 1] - crop[0, 0]), int(crop[1, 0] - crop[0, 0])
        assert (abs(right), abs(down)) == (1, 16)
        flips.append((right < 0, down < 0))
        places.add(int(crop.min()))
    shares = np.mean(flips, axis=0)
    assert np.all(np.abs(shares - 0.5) < 0.1)
    assert abs(np.corrcoef(np.array(flips).T)[0, 1]) < 0.2  # drawn independently
    assert len(places) == 5 * 9  # every possible corner occurs


def test_every_pair_is_used_equally_often(tmp_path: Path) -> None:
    pairs = []
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.full((8, 8), i, np.uint8))
        pairs.append(ImagePair(str(i), tmp_path / f"{i}.png", tmp_path / f"{i}.png"))
    memory = PairMemory(pairs, 8)
    seen = torch.cat([infrared for infrared, _ in memory.epoch(0, 1, 3, 4)])
    assert torch.bincount(seen[:, 0, 0, 0].int()).tolist() == [4, 4, 4]
    fixed = torch.cat([infrared for infrared, _ in memory.fixed(0, 2)])
    assert fixed[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_lkc_funet_trains_and_resumes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, rng.integers(0, 256, (20, 20), dtype=np.uint8))
    pairs = [ImagePair("x", tmp_path / "a.png", tmp_path / "b.png")]
    settings = TrainSettings(
        epochs=2, batch_size=2, crop=16, crops_per_image=2, checkpoint_minutes=0
    )
    arguments = ("lkc_funet", {"preset": "tiny"}, pairs, pairs, settings)
    whole = train(*arguments, tmp_path / "whole", threads=1)
    with pytest.raises(StopError):
        train(*arguments, tmp_path / "cut", threads=1, on_epoch=stop_at(1))
    cut = train(*arguments, tmp_path / "cut", threads=1)
    assert same(weights(cut), weights(whole))
    fused = load_method("lkc_funet", cut.checkpoint).fuse(*torch.rand(2, 1, 1, 13, 18))
    assert fused.shape == (1, 1, 13, 18)
