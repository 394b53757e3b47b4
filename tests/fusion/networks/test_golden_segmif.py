"""Our SegMIF against the outputs of the authors' modules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, full_folder, stored, zoo_colour, zoo_input
from torch import Tensor, nn
from torch.nn import functional

from fusion import load_method
from fusion.errors import InputError
from fusion.methods.segmif import SegMIF
from fusion.networks.segmif.blocks import context_matrix, saliency, saliency_mean
from fusion.networks.segmif.transformer import MIT_B3, MixTransformer

ENCODER = "denoise_net.encoder."


@pytest.fixture(scope="module")
def method() -> SegMIF:
    made = SegMIF().eval()
    fill(made, stored("segmif")["fill"])
    return made


def variant(method: SegMIF, **params: Any) -> SegMIF:
    made = SegMIF(**params).eval()
    made.load_state_dict(method.state_dict())
    return made


def segmentation_shapes() -> dict[str, Tensor]:
    """All entries of the segmentation network: our whole encoder, and its head as published."""
    with torch.device("meta"):
        state = {f"{ENCODER}{k}": v for k, v in MixTransformer(MIT_B3).state_dict().items()}
        head: dict[str, nn.Module] = {
            "decoder.linear_fuse.conv": nn.Conv2d(1024, 256, 1, bias=False),
            "decoder.linear_fuse.bn": nn.BatchNorm2d(256),
            "decoder.linear_pred": nn.Conv2d(256, 9, 1),
            "classifier": nn.Conv2d(512, 9, 1, bias=False),
        }
        for n, stage in enumerate(MIT_B3, start=1):
            head[f"decoder.linear_c{n}.proj"] = nn.Linear(stage.width, 256)
        for name, layer in head.items():
            state |= {f"denoise_net.{name}.{k}": v for k, v in layer.state_dict().items()}
    return state


def test_golden_keys(method: SegMIF) -> None:
    state = method.state_dict()
    check_keys("segmif", {k: v for k, v in state.items() if not k.startswith(ENCODER)})
    published = segmentation_shapes()
    check_keys("segmif_seg", published)
    ours = {k for k in state if k.startswith(ENCODER)}
    assert {k for k in published if not any(re.match(p, k) for p in SegMIF.ignored)} == ours
    assert all(published[k].shape == state[k].shape for k in ours)
    assert not any(re.match(p, k) for p in SegMIF.ignored for k in state)


def test_golden_keys_as_listed(method: SegMIF) -> None:
    listed: dict[str, list[int]] = {}
    for name in ("segmif", "segmif_seg"):
        listed |= json.loads((full_folder() / f"{name}_keys.json").read_text())
    for key, value in method.state_dict().items():
        assert listed.pop(key) == list(value.shape)
    assert all(any(re.match(p, key) for p in SegMIF.ignored) for key in listed)


@pytest.mark.parametrize("size", [(64, 64), (96, 80)])
def test_golden_outputs(method: SegMIF, size: tuple[int, int]) -> None:
    (infrared, visible), text = zoo_input(*size, batch=2), f"{size[0]}x{size[1]}"
    prior, colour = (0.5 * infrared.double() + 0.5 * visible).float(), zoo_colour(*size, batch=2)
    got: dict[str, Tensor] = {}
    with torch.inference_mode():
        for n, maps in enumerate(method.denoise_net["encoder"](prior.expand(-1, 3, -1, -1))):
            wide = functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
            got[f"feat{n}_{text}"] = wide[:, :: 8 * (n + 1)]
        got[f"out_{text}"] = method.raw(infrared, visible, prior)
        got[f"out_ymode_{text}"] = method.raw(infrared, colour, prior)
        red = variant(method, visible_channel="R").raw(infrared, colour, prior)
    got[f"rgb_clamped_{text}"] = recoloured(red, colour)
    check_arrays("segmif", got, 2e-4)


def recoloured(y: Tensor, rgb: Tensor) -> Tensor:
    """Put `y` in the place of the luminance, as the authors do."""
    r, g, b = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    luminance = 0.299 * r + 0.587 * g + 0.114 * b
    cr, cb = (r - luminance) * 0.713, (b - luminance) * 0.564
    return torch.cat([y + 1.403 * cr, y - 0.714 * cr - 0.344 * cb, y + 1.773 * cb], 1).clamp(0, 1)


def test_the_authors_two_files_load_from_their_folder(method: SegMIF, tmp_path: Path) -> None:
    state = method.state_dict()
    spare = {"block3.0.norm1.weight": torch.ones(320), "norm4.bias": torch.ones(512)}
    parts = {
        "modelfusion-final2.pth": {k: v for k, v in state.items() if not k.startswith(ENCODER)},
        "model-fusion_add_final2.pth": {
            **{k: v for k, v in state.items() if k.startswith(ENCODER)},
            **{ENCODER + k: v for k, v in spare.items()},
            "denoise_net.classifier.weight": torch.ones(9, 512, 1, 1),
        },
    }
    torch.save(parts["modelfusion-final2.pth"], tmp_path / "modelfusion-final2.pth")
    with pytest.raises(InputError, match=r"lacks model-fusion_add_final2\.pth"):
        load_method("segmif", tmp_path)
    with pytest.raises(InputError, match="denoise_net"):
        load_method("segmif", tmp_path / "modelfusion-final2.pth")
    torch.save(parts["model-fusion_add_final2.pth"], tmp_path / "model-fusion_add_final2.pth")
    loaded = load_method("segmif", tmp_path).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[k], state[k]) for k in state)


def test_the_prior_is_the_visible_image_or_the_salient_mean(method: SegMIF) -> None:
    infrared, visible = zoo_input(40, 48)
    salient = variant(method, prior="saliency")
    with torch.inference_mode():
        default = method(infrared, visible)
        assert torch.equal(default, method(infrared, visible, visible))
        want = method(infrared, visible, saliency_mean(infrared, visible))
        assert torch.equal(salient(infrared, visible), want)
    assert not torch.equal(default, want)


def test_red_needs_colour_and_gray_colour_equals_gray(method: SegMIF) -> None:
    infrared, visible = zoo_input(40, 48)
    red = variant(method, visible_channel="R")
    with pytest.raises(InputError, match="holds luminance only"):
        red.fuse(infrared, visible)
    with torch.inference_mode():
        gray = method(infrared, visible)
        for made in (method, red):
            assert torch.allclose(made(infrared, visible.repeat(1, 3, 1, 1)), gray, atol=1e-5)


def test_official_stretch(method: SegMIF) -> None:
    pair = zoo_input(40, 48, batch=2)
    fused, stretched = method.fuse(*pair), variant(method, official_stretch=True).fuse(*pair)
    levels = np.floor(255 * fused.double().numpy())
    for got, image in zip(stretched.numpy(), levels, strict=True):
        want = (image - image.min()) / (image.max() - image.min())
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (20, 33)])
def test_small_sizes(method: SegMIF, size: tuple[int, int]) -> None:
    fused = method.fuse(torch.rand(1, 1, *size), torch.rand(1, 1, *size))
    assert fused.shape == (1, 1, *size)


def test_context_matrix_equals_attention_per_head() -> None:
    torch.manual_seed(0)
    query, both = torch.rand(2, 30, 64), torch.rand(2, 30, 128)
    key, value = both.reshape(2, 30, 2, 8, 8).permute(2, 0, 3, 1, 4)
    context = (key.transpose(-2, -1) @ value * 8**-0.5).softmax(dim=-2)
    want = query.reshape(2, 30, 8, 8).transpose(1, 2) @ context
    got = query @ context_matrix(both)
    assert torch.allclose(got, want.transpose(1, 2).flatten(2), atol=1e-5)


def test_saliency_counts_the_distance_to_all_pixels() -> None:
    images = torch.tensor([[0, 0, 0, 255], [10, 20, 20, 40]]).reshape(2, 1, 1, 4) / 255
    sums = torch.tensor([[255.0, 255, 255, 765], [50, 30, 30, 70]])
    low, high = sums.amin(1, keepdim=True), sums.amax(1, keepdim=True)
    assert torch.allclose(saliency(images).flatten(1), (sums - low) / (high - low))
    flat = torch.full_like(images, 0.5)
    weight = 0.5 - saliency(images) / 2
    want = weight * flat + (1 - weight) * images
    assert torch.allclose(saliency_mean(images, flat), want)


def test_parameters_are_checked() -> None:
    for wrong in ({"prior": "mask"}, {"visible_channel": "G"}, {"official_stretch": 1}):
        with pytest.raises(InputError, match=r"segmif: \w+ is .*, but must be"):
            SegMIF(**wrong)
