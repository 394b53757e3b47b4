"""Other detectors of the package, and detectors that see four channels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from detection.datasets import Annotation, Box
from detection.export import export
from detection.settings import MODELS, DetectorSettings
from detection.yolo import ultralytics
from detection.yolo.channels import show_fourth
from detection.yolo.checkpoints import fill, load_network, read_checkpoint
from detection.yolo.prediction import detect, predict
from detection.yolo.training import train
from fusion.errors import InputError
from fusion.pairs import Image, read_rgb, stack, write_png
from fusion.torch_tools import widened

pytestmark = pytest.mark.training

CLASSES = ("square",)
SPLITS = {"train": ["t0", "t1", "t2", "t3"], "val": ["v0", "v1"]}
TINY = DetectorSettings(
    model="yolov8n-rtdetr",
    image_size=32,
    epochs=3,
    batch=2,
    nominal_batch=4,
    checkpoint_minutes=0,
    close_mosaic=1,
)


class StopError(Exception):
    pass


def stop_after(epochs: int) -> Callable[[int, int, dict[str, float]], None]:
    def stop(done: int, total: int, metrics: dict[str, float]) -> None:
        if done == epochs:
            raise StopError

    return stop


def changed(**values: object) -> DetectorSettings:
    return DetectorSettings.model_validate({**dict(TINY), **values})


def draw(folder: Path, channels: int) -> Path:
    """Images of 64 x 48 with one square each, which only the last channel shows, exported."""
    lots = np.random.default_rng(0)
    images, annotations = {}, {}
    for name in [*SPLITS["train"], *SPLITS["val"]]:
        infrared = lots.integers(0, 40, (48, 64), np.uint8)
        x, y = (int(v) for v in lots.integers(2, 30, 2))
        infrared[y : y + 16, x : x + 16] = 240
        visible = lots.integers(0, 255, (48, 64, 3), np.uint8)
        images[name] = folder / f"{name}.png"
        write_png(images[name], stack(infrared, visible) if channels == 4 else infrared)
        annotations[name] = Annotation(64, 48, (Box(0, x, y, x + 16, y + 16),))
    return export(images, annotations, SPLITS, CLASSES, folder / "data", channels)


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("gray"), 3)


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("stacked"), 4)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(data: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((data.parent / "images" / "val").iterdir())}


def test_every_detector_is_described_in_a_file_of_the_package() -> None:
    ultralytics.prepare()
    from ultralytics.utils import ROOT

    for model in MODELS:
        file, scale = ultralytics.described_in(model)
        text = (ROOT / "cfg" / "models" / file).read_text(encoding="utf-8")
        assert f"  {scale}: [" in text, model
    assert ultralytics.described_in("yolov8n-rtdetr") == ("v8/yolov8-rtdetr.yaml", "n")


@pytest.mark.parametrize("model", ["yolov8n", "yolo11n"])
def test_another_detector_learns_and_predicts(gray: Path, tmp_path: Path, model: str) -> None:
    settings = changed(model=model, epochs=1)
    result = train(gray, settings, tmp_path)
    assert set(result.history[0]) >= {"train/box_loss", "train/dfl_loss"}
    found = predict(result.weights, pictures(gray), CLASSES, image_size=32, confidence=1e-6)
    assert {one["image"] for one in found} == {"v0", "v1"}


def test_a_transformer_resumes_to_the_bit_and_predicts(gray: Path, tmp_path: Path) -> None:
    settings = changed(select="best", epochs=2)
    whole = train(gray, settings, tmp_path / "whole")
    assert {"train/giou_loss", "train/l1_loss", "metrics/mAP50"} <= set(whole.history[0])
    with pytest.raises(StopError):
        train(gray, settings, tmp_path / "cut", on_epoch=stop_after(2))
    cut = train(gray, settings, tmp_path / "cut")
    assert digest(cut.weights) == digest(whole.weights)
    assert cut.history == whole.history
    found = predict(cut.weights, pictures(gray), CLASSES, image_size=32, confidence=1e-6)
    assert {one["image"] for one in found} == {"v0", "v1"}
    for one in found:
        x, y, w, h = one["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + w <= 64 + 1e-3
        assert y + h <= 48 + 1e-3


def test_a_transformers_boxes_land_where_they_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of the square that the picture is stretched to are shares of the picture."""

    class TwoBoxes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, None]:
            assert batch.shape[2:] == (64, 64)
            rows = torch.tensor([[0.5, 0.25, 0.5, 0.5, 0.9, 1], [0.5, 0.5, 0.1, 0.1, 0.4, 0]])
            return rows.expand(len(batch), 2, 6), None

    monkeypatch.setattr("detection.yolo.prediction.chooses_boxes", lambda _: True)
    with torch.inference_mode():
        (rows,) = detect(TwoBoxes(), [np.zeros((100, 200, 3), np.uint8)], 64, 0.5, 0.7)
    assert rows.tolist() == [pytest.approx([50, 0, 150, 50, 0.9, 1])]


# ------------------------------------------------------------------------------- four channels


def test_a_detector_of_four_channels_resumes_to_the_bit(stacked: Path, tmp_path: Path) -> None:
    settings = changed(model="yolov5n", select="best")
    whole = train(stacked, settings, tmp_path / "whole")
    with pytest.raises(StopError):
        train(stacked, settings, tmp_path / "cut", on_epoch=stop_after(2))
    cut = train(stacked, settings, tmp_path / "cut")
    assert digest(cut.weights) == digest(whole.weights)
    network = load_network(cut.weights, CLASSES)
    assert next(network.parameters()).shape[1] == 4
    files = pictures(stacked)
    found = predict(cut.weights, files, CLASSES, image_size=32, confidence=1e-6)
    assert {one["image"] for one in found} == {"v0", "v1"}
    write_png(tmp_path / "colour.png", read_rgb(files["v0"]))
    with pytest.raises(InputError, match="no 8-bit image of four channels"):
        predict(cut.weights, {"v0": tmp_path / "colour.png"}, CLASSES, image_size=32)


def test_the_network_sees_red_green_blue_and_infrared(
    stacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def look(trainer: object, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(batch["img"].clone())
        raise StopError

    root = stacked.parent / "images"
    for path in root.rglob("*.png"):
        path.unlink()  # a link: the fixture's own file stays
        write_png(path, np.full((48, 64, 4), (10, 20, 30, 40), np.uint8))
    monkeypatch.setattr("detection.yolo.trainer.OurTrainer.preprocess_batch", look)
    with pytest.raises(StopError):
        train(stacked, changed(model="yolov5n", mosaic=0, epochs=1), tmp_path)
    middle = seen[0][:, :, 16, 16].float()
    assert bool((middle[:, 3] == 40).all()), "infrared is as it was"
    assert not bool((middle[:, :3] == torch.tensor([10.0, 20.0, 30.0])).all()), "colours are drawn"
    assert bool((middle[:, 0] < middle[:, 3]).all())


def test_hues_are_drawn_for_colours_alone() -> None:
    def brighter(labels: dict[str, Image], params: object = None) -> dict[str, Image]:
        labels["img"] += 1
        return labels

    image = np.zeros((2, 2, 4), np.uint8)
    hue = SimpleNamespace(hgain=0.1, apply_image=brighter)
    form = SimpleNamespace(_format_img=lambda image: image)
    steps = SimpleNamespace(transforms=[hue, SimpleNamespace(transforms=[form])])
    dataset = SimpleNamespace(transforms=steps, build_transforms=lambda: steps)
    show_fourth(dataset)
    assert hue.apply_image({"img": image})["img"][0, 0].tolist() == [1, 1, 1, 0]
    assert form._format_img(np.array([[[1, 2, 3, 4]]]))[0, 0].tolist() == [3, 2, 1, 4]


def test_a_colour_checkpoint_fills_a_network_of_four_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    colour = ultralytics.build_network("yolov5n", 1).eval()
    torch.save(colour.state_dict(), tmp_path / "colour.pt")
    four = ultralytics.build_network("yolov5n", 1, 4).eval()
    loaded = fill(four, tmp_path / "colour.pt")
    assert loaded == len(four.state_dict())
    gray = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        ours, theirs = (net(gray.expand(1, n, 32, 32))[0] for net, n in ((four, 4), (colour, 3)))
    assert torch.allclose(ours, theirs, atol=1e-3), "equal channels are answered as before"


def test_only_a_first_layer_is_widened() -> None:
    weight = torch.rand(2, 3, 1, 1)
    wide = widened(weight, (2, 4, 1, 1))
    assert torch.allclose(wide[:, 3], weight.mean(dim=1) * 0.75)
    assert torch.allclose(wide[:, :3], weight * 0.75)
    for shape in ((2, 3, 1, 1), (5, 4, 1, 1), (2, 4, 3, 3), (2, 4), (4,), ()):
        assert widened(weight, shape) is weight


def test_pickled_files_of_every_family_are_read(tmp_path: Path) -> None:
    known = set(ultralytics.pickled_classes())
    for model in ("yolov8n", "yolo11n", "rtdetr-l"):
        assert {type(part) for part in ultralytics.build_network(model, 1).modules()} <= known
    network = ultralytics.build_network("yolov8n-rtdetr", 1)
    torch.save({"model": network.half()}, tmp_path / "native.pt")
    assert len(read_checkpoint(tmp_path / "native.pt")) == len(network.state_dict())
