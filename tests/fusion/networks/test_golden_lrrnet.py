"""Our LRRNet against the outputs of the authors' module, and its published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from golden_rules import fill_by_rule
from golden_tools import check_arrays, check_keys, stored, zoo_input
from torch import Tensor
from torch.nn import functional

from fusion import load_method
from fusion.layers.framing import pad_to, stretch
from fusion.methods.lrrnet import EPSILON, LRRNet
from fusion.networks.lrrnet import Codes, Encoder, LRRBlock, soft_threshold
from fusion.pairs import read_gray

SIZES = [(64, 64), (96, 80)]


def filled(rule: Literal["A", "B"]) -> LRRNet:
    method = LRRNet().eval()
    special = {"lamj": (0.1, 0.05), "lamz": (0.5, 0.3)}
    fill_by_rule(method.state_dict(), rule, gain=1.0, special=special)
    return method


def test_golden_keys() -> None:
    check_keys("lrrnet", LRRNet())
    assert sum(p.numel() for p in LRRNet().parameters()) == 49_204


@pytest.mark.parametrize("rule", ["A", "B"])
def test_golden_outputs(rule: Literal["A", "B"]) -> None:
    method = filled(rule)
    with torch.inference_mode():
        for height, width in SIZES:
            pair, size = zoo_input(height, width, batch=2), f"{height}x{width}"
            raw, name = method.raw(*pair), f"{rule}_raw_{size}"
            largest = max(map(abs, stored("lrrnet")["arrays"][name]["samples"]))
            check_arrays("lrrnet", {name: raw}, 1e-5 * max(1.0, largest))
            check_arrays("lrrnet", {f"{rule}_final_{size}": stretch(raw, EPSILON)[:1]}, 1e-4)
        assert torch.equal(method.fuse(*pair), stretch(raw, EPSILON))


def test_golden_parts() -> None:
    method = filled("B")
    got: dict[str, Tensor] = {}
    both: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for which, image in zip("xy", zoo_input(64, 64), strict=True):
            infrared, decoder = which == "x", method.decoder
            encoder = method.get_ls1 if infrared else method.get_ls2
            codes = encoder(stretch(255 * image, EPSILON)[0, 0])
            decode = decoder.infrared if infrared else decoder.visible
            low, sparse = decode(codes, (64, 64))
            both.append((low, sparse))
            got |= {f"{which}_l": low[None, None], f"{which}_h": sparse[None, None]}
            got |= {f"fea_{which}_l": as_maps(codes)[:, :3]}
            got |= {f"fea_{which}_s": as_maps(codes)[:, 128:131]}
        low, sparse = (torch.stack(parts)[None] for parts in zip(*both, strict=True))
        got |= {"fl": method.decoder.conv_ReL(low), "fh": method.decoder.conv_ReH(sparse)}
    for name, part in got.items():
        key = f"B_mid_{name}_64x64"
        largest = max(map(abs, stored("lrrnet")["arrays"][key]["samples"]))
        check_arrays("lrrnet", {key: part}, 1e-4 * largest)


def as_maps(codes: Codes) -> Tensor:
    return torch.cat(codes, dim=1).reshape(1, -1, 64, 64)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder, image = Encoder().double(), torch.rand(13, 17, dtype=torch.float64)
    whole = torch.cat(encoder(image), dim=1)
    monkeypatch.setattr("fusion.networks.lrrnet.STRIP", 50)
    strips = encoder(image)
    assert [strip.shape[1] for strip in strips] == [50, 50, 50, 50, 21]
    assert torch.allclose(torch.cat(strips, dim=1), whole, atol=1e-12)


def test_products_equal_convolutions() -> None:
    torch.manual_seed(0)
    block = LRRBlock().double()
    image = torch.rand(9, 7, dtype=torch.float64)
    matrix, near = block.conv_Wdtz.spread(image)
    codes = block.conv_Wdtz(image[None, None])
    assert torch.allclose((matrix @ near).reshape(-1, 9, 7), codes[0], atol=1e-12)
    back = block.conv_Wdz.gather(list(torch.split(codes[0].flatten(1), 20, dim=1)), (9, 7))
    assert torch.allclose(back, block.conv_Wdz(codes)[0, 0], atol=1e-12)


def test_soft_threshold_keeps_zero_and_takes_negative_limits() -> None:
    x, limit = torch.tensor([[-3.0, -1.0, 0.0, 2.0]]).repeat(2, 1), torch.tensor([[1.5], [-1.0]])
    want = torch.stack([functional.softshrink(x[0], 1.5), torch.tensor([-4.0, -2.0, 0.0, 3.0])])
    assert torch.equal(soft_threshold(x, limit), want)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 5)])
def test_small_sizes(size: tuple[int, int]) -> None:
    assert LRRNet().fuse(torch.rand(1, 1, *size), torch.rand(1, 1, *size)).shape[-2:] == size


def test_framing() -> None:
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert pad_to(image) is image
    assert pad_to(image, multiple=2)[0, 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4]]
    assert pad_to(image, least=4)[0, 0, :, 3].tolist() == [1, 4, 4, 4]
    flat = torch.tensor([3.0, 3.0]).reshape(1, 1, 1, 2)
    assert stretch(torch.cat([flat, 2 * flat + torch.tensor([0.0, 2.0])])).flatten().tolist() == [
        0.0,
        0.0,
        0.0,
        1.0,
    ]


def test_published_weights_fuse_a_real_pair(data_home: Path) -> None:
    method = load_method("lrrnet", data_home / "weights" / "fusion" / "LRRNet.model")
    scene = data_home / "data" / "msrs" / "test"
    name = min(path.name for path in (scene / "ir").iterdir())
    images = [torch.from_numpy(read_gray(scene / kind / name)) for kind in ("ir", "vi")]
    infrared, visible = (image[None, None, 100:340, 200:520].float() / 255 for image in images)
    fused = method.fuse(infrared, visible)
    assert fused.std() > 0.05
    for image in (infrared, visible):
        assert torch.corrcoef(torch.stack([fused.flatten(), image.flatten()]))[0, 1] > 0.2
