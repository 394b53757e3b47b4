"""A network that is trained in two: its part first, by a loss of its own, then all the rest."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion import load_method, registry
from fusion.errors import InputError
from fusion.pairs import ImagePair, list_pairs, write_png
from fusion.training.settings import PretrainSettings, TrainSettings
from fusion.training.train import TrainResult, train
from fusion.weights.checkpoints import read_checkpoint

pytestmark = pytest.mark.training

TWICE = '''"""Twice: a convolution that learns to repeat, and one that fuses what it says.

Paper: none
Licence: MIT
Checkpoint: none
"""
import torch
from torch import nn
from fusion.method import FusionMethod

class Twice(FusionMethod):
    """Dropout in both parts, so that random states and modes matter."""

    needs_checkpoint = True
    trainable = True
    pretrained = "body"
    pretraining_ignores = ("gain",)
    presets = {"wide": {"width": 6}}

    def __init__(self, width: int = 4, gain: float = 1.0):
        super().__init__()
        self.gain = gain
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.Dropout(0.3),
            nn.Conv2d(width, 1, 1),
        )
        self.top = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Dropout(0.3), nn.Conv2d(4, 1, 1))

    def forward(self, infrared, visible):
        return self.gain * self.top(torch.cat([self.body(infrared), self.body(visible)], 1))

    def pretraining_loss(self, infrared, visible):
        both = torch.cat([infrared, visible])
        return {"total": (self.body(both + 0.1 * torch.rand_like(both)) - both).square().mean()}

    def loss(self, infrared, visible):
        return {"total": (self(infrared, visible) - torch.maximum(infrared, visible)).abs().mean()}
'''

COMMON: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 4,
    "crop": 8,
    "learning_rate": 1e-2,
    "crops_per_image": 3,
    "checkpoint_minutes": 0,
}
FIRST, SECOND = PretrainSettings(**COMMON), TrainSettings(**COMMON)


@pytest.fixture(autouse=True)
def _twice(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "fuse_then_twice.py").write_text(TWICE)
    monkeypatch.syspath_prepend(str(folder))
    point = EntryPoint("twice", "fuse_then_twice", registry.PLUGIN_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        for n in range(6):
            image = rng.integers(0, 256, (12, 16), dtype=np.uint8)
            write_png(tmp_path / folder / f"p{n}.png", image)
    return list_pairs(tmp_path / "ir", tmp_path / "vi")


def run(
    pairs: list[ImagePair],
    out: Path,
    settings: TrainSettings = SECOND,
    first: TrainResult | Path | None = None,
    **more: Any,
) -> TrainResult:
    given = first.checkpoint if isinstance(first, TrainResult) else first
    params = more.pop("params", {})
    own = {"threads": 1, "pretrained": given, **more}
    return train("twice", params, pairs[:4], pairs[4:], settings, out, **own)


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    return read_checkpoint(result.checkpoint).state_dict


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


class StopError(Exception):
    pass


def stop_at(epoch: int) -> Callable[[dict[str, float]], None]:
    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise StopError

    return stop


def test_the_second_training_leaves_the_part_as_the_first_made_it(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    first = run(pairs, tmp_path / "first", FIRST)
    part = weights(first)
    assert {key.split(".")[0] for key in part} == {"body"}
    assert {p.name for p in (tmp_path / "first").iterdir()} == {
        "weights.pt",
        "state.pt",
        "history.csv",
    }
    assert first.history[-1]["total"] < first.history[0]["total"]
    second = run(pairs, tmp_path / "second", SECOND, first)
    whole = weights(second)
    # Batch statistics, too: the part stays in the mode in which it fuses.
    assert same(part, {k: v for k, v in whole.items() if k.startswith("body.")})
    assert any(not k.startswith("body.") for k in whole)
    assert second.history[-1]["total"] < second.history[0]["total"]
    loaded = load_method("twice", second.checkpoint)
    assert same(dict(loaded.state_dict()), whole)


@pytest.mark.parametrize("interrupted", [1, 3])
def test_each_training_goes_on_to_the_same_weights(
    pairs: list[ImagePair], tmp_path: Path, interrupted: int
) -> None:
    first: TrainResult | None = None
    for n, settings in enumerate((FIRST, SECOND)):
        whole = run(pairs, tmp_path / f"whole{n}", settings, first)
        with pytest.raises(StopError):
            run(pairs, tmp_path / f"cut{n}", settings, first, on_epoch=stop_at(interrupted))
        torch.rand(3)
        ran: list[float] = []
        follow = {"on_epoch": lambda row, ran=ran: ran.append(row["epoch"])}
        cut = run(pairs, tmp_path / f"cut{n}", settings, first, **follow)
        assert ran == list(range(interrupted + 1, 5))
        assert same(weights(whole), weights(cut))
        assert whole.checkpoint.read_bytes() == cut.checkpoint.read_bytes()
        first = whole


def test_weight_decay_is_the_first_trainings(pairs: list[ImagePair], tmp_path: Path) -> None:
    decayed = weights(run(pairs, tmp_path / "a", FIRST))
    none = FIRST.model_copy(update={"weight_decay": 0.0})
    assert not same(decayed, weights(run(pairs, tmp_path / "b", none)))


def test_what_the_first_training_ignores_may_differ(pairs: list[ImagePair], tmp_path: Path) -> None:
    first = run(pairs, tmp_path / "first", FIRST, params={"gain": 2.0})
    assert same(weights(first), weights(run(pairs, tmp_path / "other", FIRST)))
    run(pairs, tmp_path / "second", SECOND, first, params={"gain": 3.0})


def test_a_part_cannot_fuse(pairs: list[ImagePair], tmp_path: Path) -> None:
    first = run(pairs, tmp_path / "first", FIRST)
    said = r'weights\.pt holds the body of the method "twice" alone, .* give what the second'
    with pytest.raises(InputError, match=said):
        load_method("twice", first.checkpoint)


def test_what_is_no_part_is_refused_before_training(pairs: list[ImagePair], tmp_path: Path) -> None:
    first = run(pairs, tmp_path / "first", FIRST)
    second = run(pairs, tmp_path / "second", SECOND, first)
    foreign = tmp_path / "foreign.pt"
    torch.save({"body.0.weight": torch.zeros(4, 1, 3, 3)}, foreign)
    said = 'holds {}, not what the first training of "twice" leaves, its body alone'
    for given, what in ((second.checkpoint, '"twice" whole'), (foreign, "foreign weights")):
        with pytest.raises(InputError, match=said.format(what)):
            run(pairs, tmp_path / "again", SECOND, given)
    with pytest.raises(InputError, match="was trained with width = 4, not 6; give the preset"):
        run(pairs, tmp_path / "again", SECOND, first, params={"preset": "wide"})
    assert not (tmp_path / "again").exists()


def test_a_state_belongs_to_its_part(pairs: list[ImagePair], tmp_path: Path) -> None:
    first = run(pairs, tmp_path / "first", FIRST)
    other = run(pairs, tmp_path / "other", FIRST, seed=1)
    run(pairs, tmp_path / "second", SECOND, first)
    with pytest.raises(InputError, match=r"state\.pt was left by a training with pretrained wei"):
        run(pairs, tmp_path / "second", SECOND, other)
    with pytest.raises(InputError, match=r"state\.pt was left by a training with pretrained wei"):
        run(pairs, tmp_path / "first", SECOND, first)


def test_trainings_that_a_method_has_not(pairs: list[ImagePair], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is trained in two: train its body first and give"):
        run(pairs, tmp_path / "out")
    with pytest.raises(InputError, match='"lkc_funet" is trained at once: it has no part'):
        train("lkc_funet", {"preset": "tiny"}, pairs, [], FIRST, tmp_path / "out")
    with pytest.raises(InputError, match='"average" has no training recipe'):
        train("average", {}, pairs, [], FIRST, tmp_path / "out")
