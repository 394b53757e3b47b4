"""Other segmenters of the package, and segmenters that see four channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fusion.errors import InputError
from fusion.pairs import read_rgb, stack, write_png
from fusion.palette import MASKS
from fusion.torch_tools import write_checkpoint
from segmentation.datasets import read_mask, write_mask
from segmentation.model import build_model, load_segmenter, normalise
from segmentation.prediction import predict, predict_together
from segmentation.settings import ARCHITECTURES, SegmenterSettings
from segmentation.training import SegmenterResult, train

pytestmark = pytest.mark.training

NAMES = ("sky", "bright")
SETTINGS = SegmenterSettings(
    architecture="Unet",
    encoder="mobilenet_v2",
    epochs=1,
    batch=2,
    learning_rate=0.002,
    height=32,
    width=32,
    checkpoint_minutes=0,
)


def learn(folder: Path) -> SegmenterResult:
    """Train on four stacked images whose square only the infrared channel shows."""
    lots, images, masks = np.random.default_rng(0), {}, {}
    for name in "abcd":
        mask = np.zeros((48, 48), np.uint8)
        top, left = lots.integers(0, 24, 2)
        mask[top : top + 24, left : left + 24] = 1
        images[name], masks[name] = folder / f"{name}.png", folder / f"{name}-m.png"
        colour = lots.integers(0, 255, (48, 48, 3), np.uint8)
        write_png(images[name], stack(mask * 200, colour))
        write_mask(masks[name], mask, MASKS)
    return train(images, masks, {"train": list("abcd")}, NAMES, SETTINGS, folder / "out")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_segmenter_sees_four_channels_and_keeps_the_size(architecture: str) -> None:
    model, _ = build_model(architecture, "mobilenet_v2", 5, None, 4)
    image = torch.zeros(1, 128, 160, 4, dtype=torch.uint8)
    with torch.inference_mode():
        assert model.eval()(normalise(image)).shape == (1, 5, 128, 160)


def test_sides_that_cannot_be_halved_are_refused_before_anything_is_built() -> None:
    for architecture in ("Unet", "UnetPlusPlus", "FPN", "Segformer"):
        with pytest.raises(ValidationError, match=rf"width: 80 .* {architecture} needs; give 96"):
            SegmenterSettings(architecture=architecture, width=80, epochs=1)
    with pytest.raises(ValidationError, match="height: 96 is too small for PAN; give 128 or more"):
        SegmenterSettings(architecture="PAN", height=96, epochs=1)
    for architecture, width in (("PAN", 144), ("PSPNet", 80)):
        made = SegmenterSettings(architecture=architecture, height=128, width=width, epochs=1)
        model, _ = build_model(architecture, "mobilenet_v2", 2, None)
        with torch.inference_mode():
            assert model.eval()(torch.zeros(1, 3, 128, made.width)).shape == (1, 2, 128, width)


def test_a_segmenter_of_four_channels_learns_and_predicts(tmp_path: Path) -> None:
    weights = learn(tmp_path).weights
    _, about = load_segmenter(weights, "cpu")
    assert about["channels"] == 4
    made = predict(weights, {"a": tmp_path / "a.png"}, tmp_path / "masks", palette=MASKS)
    assert made["a"].is_file()
    write_png(tmp_path / "colour.png", read_rgb(tmp_path / "a.png"))
    with pytest.raises(InputError, match="no 8-bit image of four channels"):
        predict(weights, {"a": tmp_path / "colour.png"}, tmp_path / "masks", palette=MASKS)


def test_a_colour_encoder_starts_one_of_four_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    colour = build_model("Unet", "resnet18", 2, None)[0].encoder
    write_checkpoint(tmp_path / "encoder.pt", colour.state_dict())
    model, load = build_model("Unet", "resnet18", 2, tmp_path / "encoder.pt", 4)
    assert load.loaded == load.total
    gray = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        ours = model.encoder.eval()(gray.expand(1, 4, 32, 32))[-1]
        theirs = colour.eval()(gray.expand(1, 3, 32, 32))[-1]
    assert torch.allclose(ours, theirs, atol=1e-4), "equal channels are answered as before"


def test_a_fourth_channel_is_normalised_by_the_means_of_three() -> None:
    image = torch.full((1, 1, 1, 4), 255, dtype=torch.uint8)
    mean, std = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
    assert normalise(image)[0, 3, 0, 0].item() == pytest.approx((1 - mean) / std)


def test_several_segmenters_decide_by_their_mean_probability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is sure of class 1 alone, two are a little for class 0: the mean is for class 1."""
    logits = {"sure": [0.0, 3.0], "one": [0.5, 0.0], "two": [0.5, 0.0]}
    write_png(tmp_path / "a.png", np.zeros((4, 6), np.uint8))

    class Told:
        def __init__(self, weights: Path, device: torch.device) -> None:
            self.values = logits[weights.stem]

        def __call__(self, path: Path) -> torch.Tensor:
            return torch.tensor(self.values).view(1, 2, 1, 1).expand(1, 2, 4, 6)

    monkeypatch.setattr("segmentation.prediction._Segmenter", Told)
    for names, label in ((["sure", "one", "two"], 1), (["one", "two"], 0), (["sure"], 1)):
        members = [(tmp_path / f"{name}.pt", {"a": tmp_path / "a.png"}) for name in names]
        made = predict_together(members, tmp_path / "masks", palette=MASKS)
        assert (read_mask(made["a"], 2) == label).all(), names
