import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from detection.ap import evaluate
from detection.datasets import Annotation, Box, coco_ground_truth, read_yolo
from detection.export import export
from detection.settings import DetectorSettings
from detection.yolo import ultralytics
from detection.yolo.checkpoints import fill, read_checkpoint
from detection.yolo.prediction import detect, predict
from detection.yolo.training import Recorder, train
from fusion.errors import InputError
from fusion.pairs import write_png

pytestmark = pytest.mark.training

CLASSES = ("square", "bar")
SPLITS = {"train": [f"t{i}" for i in range(8)], "val": ["v0", "v1"], "test": ["s0", "s1"]}
TINY = DetectorSettings(
    model="yolov5n", image_size=64, epochs=2, batch=4, nominal_batch=4, warmup_epochs=0, mosaic=0
)


def changed(**values):
    """The tiny settings with other values, checked."""
    return DetectorSettings(**{**dict(TINY), **values})


def scene(seed: int) -> tuple[np.ndarray, Annotation]:
    """A dark 64 x 48 image with one bright square and one grey bar; every second one is gray."""
    random = np.random.default_rng(seed)
    image = random.integers(0, 40, (48, 64), np.uint8)
    x, y = (int(v) for v in random.integers(2, 20, 2))
    image[y : y + 16, x : x + 16] = 240
    image[40:46, 20:60] = 150
    boxes = (Box(0, x, y, x + 16, y + 16), Box(1, 20, 40, 60, 46))
    return (image if seed % 2 else np.dstack([image] * 3)), Annotation(64, 48, boxes)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    images, annotations = {}, {}
    for seed, name in enumerate(name for names in SPLITS.values() for name in names):
        picture, annotations[name] = scene(seed)
        images[name] = folder / f"{name}.png"
        write_png(images[name], picture)
    return images, annotations


@pytest.fixture(scope="module")
def data_yaml(scenes, tmp_path_factory):
    return export(*scenes, SPLITS, CLASSES, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data_yaml, tmp_path_factory):
    epochs: list[tuple] = []
    out = tmp_path_factory.mktemp("run") / "new"
    result = train(data_yaml, TINY, out, on_epoch=lambda *row: epochs.append(row))
    return result, epochs, out


def layer(path: Path, key: str = "model.0.conv.weight") -> torch.Tensor:
    return torch.load(path, weights_only=True)["state_dict"][key]


def test_ultralytics_is_offline_and_leaves_no_folder_and_no_opener_of_images_behind():
    code = (
        "import os; from PIL import Image; opener = Image.open;"
        "from detection.yolo.ultralytics import prepare; prepare();"
        "from ultralytics.utils import ONLINE, SETTINGS;"
        "print(os.path.exists(os.environ['YOLO_CONFIG_DIR']), ONLINE, SETTINGS['sync'],"
        "SETTINGS['mlflow'], Image.open is not opener)"
    )
    root = Path(ultralytics.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"] * 5
    assert done.stderr == ""


# ------------------------------------------------------------------------------------- export


def test_export_makes_a_real_tree(scenes, data_yaml):
    images, annotations = scenes
    root = data_yaml.parent
    data = yaml.safe_load(data_yaml.read_text())
    assert data["names"] == {0: "square", 1: "bar"}
    for split, names in SPLITS.items():
        assert Path(data[split]) == root / "images" / split
        assert sorted(p.stem for p in Path(data[split]).iterdir()) == names
        for name in names:
            picture = root / "images" / split / f"{name}.png"
            assert not picture.is_symlink()
            assert picture.samefile(images[name])
            again = read_yolo(root / "labels" / split / f"{name}.txt", CLASSES, (64, 48))
            for box, expected in zip(again.boxes, annotations[name].boxes, strict=True):
                assert box.label == expected.label
                assert (box.x1, box.y2) == pytest.approx((expected.x1, expected.y2), abs=1e-5)


def test_export_copies_where_links_fail_and_always_copies_jpeg(scenes, tmp_path, monkeypatch):
    images, annotations = scenes
    jpeg = tmp_path / "t0.jpg"
    jpeg.write_bytes(b"never read by export")
    splits = {"train": ["t0"], "test": ["t1"]}
    export({**images, "t0": jpeg}, annotations, splits, CLASSES, tmp_path / "a")
    assert not (tmp_path / "a/images/train/t0.jpg").samefile(jpeg)
    assert (tmp_path / "a/images/test/t1.png").samefile(images["t1"])

    def fail(self, target):
        raise OSError("another file system")

    monkeypatch.setattr(Path, "hardlink_to", fail)
    export(images, annotations, splits, CLASSES, tmp_path / "b")
    copy = tmp_path / "b/images/test/t1.png"
    assert not copy.samefile(images["t1"])
    assert copy.read_bytes() == images["t1"].read_bytes()


def test_an_image_without_objects_gets_an_empty_label_file(scenes, tmp_path):
    images, annotations = scenes
    export(images, {**annotations, "t0": Annotation(64, 48, ())}, SPLITS, CLASSES, tmp_path)
    assert (tmp_path / "labels/train/t0.txt").read_text() == ""


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": ["s0"]}, "no train list"),
        ({"train": ["t0"], "val": []}, "val split is empty"),
        ({"train": ["t0"], "test": ["t0"]}, '"t0" is in the train split and again in test'),
        ({"train": ["t0", "t9"]}, '"t9", which has no image'),
        ({"train": ["t0"], "tset": ["s0"]}, 'split: "tset" is not known.*Did you mean "test"'),
    ],
)
def test_export_refuses(scenes, tmp_path, splits, message):
    with pytest.raises(InputError, match=message):
        export(*scenes, splits, CLASSES, tmp_path)


def test_export_refuses_a_name_without_annotation(scenes, tmp_path):
    images, annotations = scenes
    del (annotations := dict(annotations))["s1"]
    with pytest.raises(InputError, match='"s1", which has no annotation'):
        export(images, annotations, SPLITS, CLASSES, tmp_path)


# ----------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "yolov5"}, "model\n  Input should be 'yolov5n', 'yolov5s'"),
        ({"image_size": 100}, "image_size\n  Input should be a multiple of 32"),
        ({"epochs": 0}, "epochs\n  Input should be greater than or equal to 1"),
        ({"learning_rate": 0.0}, "learning_rate\n  Input should be greater than 0"),
        ({"learning_rate": 1.5}, "learning_rate\n  Input should be less than or equal to 1"),
        ({"momentum": float("nan")}, "momentum\n  Input should be a finite number"),
        ({"mosaic": 2.0}, "mosaic\n  Input should be less than or equal to 1"),
        ({"optimizer": "auto"}, "optimizer\n  Input should be 'SGD', 'Adam' or 'AdamW'"),
        ({"select": "first"}, "select\n  Input should be 'last' or 'best'"),
        ({"precision": "fp16"}, "precision\n  Input should be 'fp32', 'tf32' or 'bf16'"),
        ({"seed": 1}, "seed\n  Extra inputs are not permitted"),
    ],
)
def test_settings_refuse(change, message):
    with pytest.raises(ValidationError, match=message):
        changed(**change)


def test_train_refuses_what_cannot_work(scenes, data_yaml, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match='"cuda:0" is not on this machine'):
        train(data_yaml, TINY, tmp_path, device="cuda:0")
    with pytest.raises(InputError, match='Unknown device "gpu"'):
        train(data_yaml, TINY, tmp_path, device="gpu")
    with pytest.raises(InputError, match='"bf16" needs a CUDA device'):
        train(data_yaml, changed(precision="bf16"), tmp_path)
    without_val = export(*scenes, {"train": ["t0"]}, CLASSES, tmp_path / "data")
    with pytest.raises(InputError, match='select: "best" needs a val split'):
        train(without_val, changed(select="best"), tmp_path)


# -------------------------------------------------------------------------- train and predict


def test_training_leaves_plain_weights_and_a_history(trained):
    result, epochs, out = trained
    assert result.weights == out / "weights.pt"
    assert (result.epochs, result.layers_loaded) == (2, None)
    content = torch.load(result.weights, weights_only=True)
    assert content["classes"] == list(CLASSES)
    assert len(content["state_dict"]) == result.layers_total
    assert content["state_dict"]["model.0.conv.weight"].dtype == torch.float32
    assert [row[:2] for row in epochs] == [(1, 2), (2, 2)]
    assert [row[2] for row in epochs] == result.history
    assert set(result.history[0]) == {
        "train/box_loss",
        "train/cls_loss",
        "train/dfl_loss",
        "learning_rate",
    }
    assert "2 epochs completed" in (out / "train.log").read_text()
    assert not list(out.rglob("last.pt")), "no pickled network may be left"


def test_equal_seeds_give_equal_trainings_in_silence(trained, data_yaml, tmp_path, capfd):
    result, _, _ = trained
    before = torch.get_num_threads()
    again = train(data_yaml, TINY, tmp_path)
    assert again.history == result.history
    assert torch.equal(layer(again.weights), layer(result.weights))
    assert capfd.readouterr() == ("", "")
    assert torch.get_num_threads() == before


def test_best_validates_and_another_seed_differs(trained, data_yaml, tmp_path):
    result = train(data_yaml, changed(select="best", epochs=1), tmp_path, seed=1)
    assert {"metrics/mAP50", "metrics/mAP50-95", "val/box_loss"} <= set(result.history[0])
    assert not torch.equal(layer(result.weights), layer(trained[0].weights))


def test_predictions_are_in_image_pixels_repeatable_and_scorable(scenes, trained):
    images, annotations = scenes
    test = {name: images[name] for name in reversed(SPLITS["test"])}
    steps: list[tuple[int, int]] = []
    weights = trained[0].weights
    found = predict(
        weights,
        test,
        CLASSES,
        image_size=64,
        batch=1,
        confidence=1e-6,
        on_progress=lambda *step: steps.append(step),
    )
    assert steps == [(1, 2), (2, 2)]
    assert [d["image"] for d in found] == sorted(d["image"] for d in found)
    assert {d["image"] for d in found} == {"s0", "s1"}
    together = predict(weights, test, CLASSES, image_size=64, batch=2, confidence=1e-6)
    assert len(together) == len(found)
    for one, other in zip(found, together, strict=True):
        assert one["image"] == other["image"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    for name in test:
        scores = [d["score"] for d in found if d["image"] == name]
        assert scores == sorted(scores, reverse=True)
        assert 0 < len(scores) <= 300
    for d in found:
        x, y, w, h = d["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + w <= 64 + 1e-3
        assert y + h <= 48 + 1e-3
        assert d["category_id"] in (1, 2)
    truth = coco_ground_truth({n: annotations[n] for n in test}, CLASSES)
    assert evaluate(truth, found, CLASSES).scores.objects == {"square": 2, "bar": 2}


def test_a_known_output_lands_where_it_should(monkeypatch):
    """A network that names one box in its input: 128 x 96 letterboxed to 64 x 64."""

    class OneBox(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            self.seen = batch.shape
            out = torch.zeros(len(batch), 4 + 2, 8)
            out[:, :, 3] = torch.tensor([32, 24 + self.seen[2] / 2 - 24, 20, 10, 0.2, 0.9])
            return out

    network = OneBox()
    wide, tall = np.zeros((96, 128, 3), np.uint8), np.zeros((128, 96, 3), np.uint8)
    with torch.inference_mode():
        first, second, third = detect(network, [wide, wide, tall], 64, 0.5, 0.7)
    assert first[0].tolist() == pytest.approx([44, 38, 84, 58, 0.9, 1])
    assert second.tolist() == first.tolist()
    assert third[0, 4:].tolist() == pytest.approx([0.9, 1])


def test_predict_refuses_other_weights(scenes, trained, tmp_path):
    images, _ = scenes
    with pytest.raises(InputError, match="was trained for square, bar, not for bar, square"):
        predict(trained[0].weights, images, CLASSES[::-1], image_size=64)
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="was not written by this package"):
        predict(tmp_path / "other.pt", images, CLASSES, image_size=64)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_diverged_training_says_so(data_yaml, tmp_path, epochs):
    stem = torch.full((16, 3, 6, 6), torch.nan)
    torch.save({"model.0.conv.weight": stem}, tmp_path / "nan.pt")
    settings = changed(epochs=epochs, initial_checkpoint=tmp_path / "nan.pt")
    with pytest.raises(InputError, match=r"diverged .*; lower learning_rate: 0\.01"):
        train(data_yaml, settings, tmp_path)
    assert not (tmp_path / "weights.pt").exists()


def test_best_keeps_the_best_epoch():
    recorder = Recorder(changed(select="best"), None)
    for epoch, fitness in enumerate((0.1, 0.5, 0.3)):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(network.weight, fitness)
        recorder(
            SimpleNamespace(
                epoch=epoch,
                fitness=fitness,
                tloss={},
                label_loss_items=lambda losses: dict(losses),
                metrics={"metrics/mAP50(B)": fitness},
                lr={"lr/pg0": 0.01},
                ema=SimpleNamespace(ema=network),
            )
        )
    assert recorder.state["weight"].item() == pytest.approx(0.5)
    assert recorder.history[1] == {"metrics/mAP50": 0.5, "learning_rate": 0.01}


# --------------------------------------------------------------------------- initial checkpoint


def test_loaded_layers_survive_into_the_trained_weights(data_yaml, tmp_path):
    torch.manual_seed(5)
    other = ultralytics.build_network("yolov5n", 80).state_dict()  # another head: 80 classes
    torch.save({"state_dict": {k: v.half() for k, v in other.items()}}, tmp_path / "start.pt")
    still = changed(
        epochs=1,
        initial_checkpoint=tmp_path / "start.pt",
        learning_rate=1e-12,
        momentum=0.0,
        weight_decay=0.0,
    )
    result = train(data_yaml, still, tmp_path / "out")
    ours = torch.load(result.weights, weights_only=True)["state_dict"]
    matching = [key for key, value in other.items() if ours[key].shape == value.shape]
    assert result.layers_loaded == len(matching)
    assert result.layers_total - len(matching) == 36, "all but the class branch of the head"
    for key in ("model.0.conv.weight", "model.23.cv3.conv.weight"):
        assert torch.allclose(ours[key], other[key], atol=1e-3)


def test_ultralytics_own_file_is_read_without_running_it(tmp_path):
    network = ultralytics.build_network("yolov5n", 3)
    content = {"epoch": -1, "ema": None, "model": network.half(), "train_args": {"lr0": 0.1}}
    torch.save(content, tmp_path / "native.pt")
    tensors = read_checkpoint(tmp_path / "native.pt")
    assert tensors.keys() == network.state_dict().keys()
    expected = network.state_dict()["model.9.cv1.conv.weight"].float()
    assert torch.equal(tensors["model.9.cv1.conv.weight"], expected)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x))])
def test_a_checkpoint_cannot_run_code(tmp_path, save):
    save({"model": Harmful(tmp_path / "ran")}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match="files that could run code are not loaded"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "holds no state dict"), ({"names": ["a"]}, "holds no tensors")],
)
def test_checkpoints_without_weights(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "a.pt")


def test_missing_or_broken_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt does not exist"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(InputError, match=r"text\.pt is neither"):
        read_checkpoint(tmp_path / "text.pt")


def test_checkpoint_of_another_network(tmp_path):
    torch.save({f"encoder.{i}": torch.zeros(2) for i in range(5)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"another network: it holds encoder.0, encoder.1, enc"):
        fill(ultralytics.build_network("yolov5n", 2), tmp_path / "other.pt")


def test_the_public_coco_checkpoint_fits():
    if "FUSE_THEN_DATA" not in os.environ:
        pytest.skip("set FUSE_THEN_DATA to the folder that holds weights/")
    root = Path(os.environ["FUSE_THEN_DATA"])
    network = ultralytics.build_network("yolov5n", 3)
    path = root / "weights" / "detection" / "yolov5n_coco80_state_dict.pt"
    assert fill(network, path) == 342
    for key, value in read_checkpoint(path).items():
        if key.startswith("model.") and int(key.split(".")[1]) < 24:
            assert torch.equal(network.state_dict()[key].float(), value), key
