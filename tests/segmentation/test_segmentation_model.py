"""The segmenter: built offline, encoder checkpoints, weights files, prediction."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.errors import InputError
from fusion.pairs import write_png
from fusion.palette import MASKS
from fusion.torch_tools import limited_threads, write_checkpoint
from segmentation.datasets import read_mask
from segmentation.model import EncoderLoad, build_model, load_segmenter, normalise
from segmentation.prediction import predict

PLUS = "DeepLabV3Plus"


def save_model(path: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    model, _ = build_model(PLUS, "mobilenet_v2", 3, None)
    about = {"architecture": PLUS, "encoder": "mobilenet_v2", "classes": ["a", "b", "c"]}
    payload = about | {"height": 32, "width": 48, "state_dict": model.state_dict()} | changes
    write_checkpoint(path, {key: value for key, value in payload.items() if value is not None})
    return path


@pytest.mark.parametrize("architecture", ["DeepLabV3", PLUS])
def test_the_model_keeps_the_size(architecture: str) -> None:
    model, load = build_model(architecture, "mobilenet_v2", 5, None)
    assert load == EncoderLoad(0, 312)
    with torch.inference_mode():
        logits = model.eval()(normalise(torch.zeros(1, 32, 48, 3, dtype=torch.uint8)))
    assert logits.shape == (1, 5, 32, 48)


def test_unknown_names_are_answered_with_a_hint() -> None:
    with pytest.raises(InputError, match=r'"DeepLabV4" is not known. Did you mean "DeepLabV3"'):
        build_model("DeepLabV4", "resnet18", 2, None)
    with pytest.raises(
        InputError, match=r'"mobilnet_v2" is not known. Did you mean "mobilenet_v2"'
    ):
        build_model(PLUS, "mobilnet_v2", 2, None)
    with pytest.raises(InputError, match=r'"tu-nothing" is not known.*, tu-NAME with the name'):
        build_model(PLUS, "tu-nothing", 2, None)
    for encoder in ("vgg11", "tu-swin_tiny_patch4_window7_224"):
        with pytest.raises(InputError, match=f'"{encoder}" cannot be used with {PLUS}'):
            build_model(PLUS, encoder, 2, None)


def test_a_timm_encoder_is_built() -> None:
    model, load = build_model(PLUS, "tu-mobilenetv3_small_100", 2, None)
    assert load == EncoderLoad(0, 240)
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 3, 32, 48)).shape == (1, 2, 32, 48)


def test_normalise_uses_imagenet_statistics() -> None:
    image = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert normalise(image).flatten().tolist() == pytest.approx(expected)


def test_encoder_tensors_are_matched_by_name_and_shape(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = build_model(PLUS, "resnet18", 2, None)[0].encoder.state_dict()
    some = dict(list(source.items())[:10])
    wrong = {"conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(3), "epoch": 3}
    write_checkpoint(tmp_path / "e.pth", some | wrong)
    model, load = build_model(PLUS, "resnet18", 2, tmp_path / "e.pth")
    assert load == EncoderLoad(9, len(source))
    ours = model.encoder.state_dict()
    assert all(torch.equal(ours[key], some[key]) for key in some if key != "conv1.weight")
    assert not torch.equal(ours["conv1.weight"], some["conv1.weight"])


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.pth"
    with pytest.raises(InputError, match="does not exist"):
        build_model(PLUS, "resnet18", 2, path)
    for rubbish in (
        b"",
        b"rubbish",
        b"PK\x03\x04 not a zip",
        b"\x80\x02}q\x00.",
        bytes(range(256)),
    ):
        path.write_bytes(rubbish)
        with pytest.raises(InputError, match="cannot be read as a checkpoint"):
            build_model(PLUS, "resnet18", 2, path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds no dictionary"):
        build_model(PLUS, "resnet18", 2, path)
    write_checkpoint(path, {"a.1": torch.zeros(1), "b": torch.zeros(1), "c": 1, "d": 2})
    with pytest.raises(InputError, match=r'holds "a.1", "b", "c", the encoder wants "conv1.w'):
        build_model(PLUS, "resnet18", 2, path)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("exit 1",))


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Payload()}, tmp_path / "e.pth")
    with pytest.raises(InputError, match="reading it could run foreign code"):
        build_model(PLUS, "resnet18", 2, tmp_path / "e.pth")


@pytest.mark.parametrize(
    ("encoder", "file", "total"),
    [
        ("mobilenet_v2", "mobilenet_v2_imagenet_torchvision_keys.pth", 312),
        ("timm-tf_efficientnet_lite0", "tf_efficientnet_lite0_timm_keys.pth", 294),
    ],
)
def test_published_encoders_load_whole(encoder: str, file: str, total: int) -> None:
    if "FUSE_THEN_DATA" not in os.environ:
        pytest.skip("set FUSE_THEN_DATA to the folder with data/ and weights/")
    path = Path(os.environ["FUSE_THEN_DATA"]) / "weights" / "backbone" / file
    assert build_model(PLUS, encoder, 9, path)[1] == EncoderLoad(total, total)


def test_prediction_has_each_images_own_size(tmp_path: Path) -> None:
    weights = save_model(tmp_path / "weights.pt")
    images = {}
    for name, (height, width) in {"a": (50, 70), "b": (32, 48)}.items():
        images[name] = tmp_path / f"{name}-visible.png"
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        write_png(images[name], noise)
    seen: list[tuple[int, int]] = []
    found = predict(
        weights,
        images,
        tmp_path / "out",
        palette=MASKS,
        on_progress=lambda *p: seen.append(p),
    )
    assert seen == [(1, 2), (2, 2)]
    assert found == {"a": tmp_path / "out" / "a.png", "b": tmp_path / "out" / "b.png"}
    assert read_mask(found["a"], 3).shape == (50, 70)
    model, _ = load_segmenter(weights, "cpu")
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    with torch.inference_mode():
        expected = model(normalise(image[None])).argmax(1)[0].numpy()
    assert np.array_equal(read_mask(found["b"], 3), expected)


def test_bad_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='lacks "encoder"'):
        load_segmenter(save_model(tmp_path / "a.pt", encoder=None), "cpu")
    with pytest.raises(InputError, match=r"do not fit DeepLabV3Plus with encoder resnet18"):
        load_segmenter(save_model(tmp_path / "b.pt", encoder="resnet18"), "cpu")


def test_bad_devices_and_threads_are_refused(tmp_path: Path) -> None:
    for device in ("gpu", "cuda:99"):
        with pytest.raises(InputError, match=f'device "{device}"'):
            predict(tmp_path / "w.pt", {}, tmp_path, palette=MASKS, device=device)
    with pytest.raises(InputError, match="threads is 0"), limited_threads(0):
        pass


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
