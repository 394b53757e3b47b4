"""Our MMDRFuse against the outputs of the authors' modules, and its published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from golden_rules import fill_by_rule
from golden_tools import check_arrays, check_keys, stored, zoo_input
from torch import Tensor

from fusion import load_method
from fusion.errors import InputError
from fusion.methods.mmdrfuse import MMDRFuse
from fusion.pairs import read_gray

NETWORKS: tuple[Literal["student", "teacher"], ...] = ("student", "teacher")
SIZES = [(64, 64), (96, 80)]
MIDS = {
    "student": {"relu4": "conv1"},
    "teacher": {"relu4": "conv11", **{f"enc{n}": f"conv{n}" for n in range(1, 7)}},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_golden_keys(network: Literal["student", "teacher"]) -> None:
    method = MMDRFuse(network=network)
    check_keys(f"mmdrfuse_{network}", method)
    count = {"student": 113, "teacher": 556_489}[network]
    assert sum(p.numel() for p in method.parameters()) == count


@pytest.mark.parametrize("rule", ["A", "B"])
@pytest.mark.parametrize("network", NETWORKS)
def test_golden_outputs(network: Literal["student", "teacher"], rule: Literal["A", "B"]) -> None:
    method = MMDRFuse(network=network, stretch=True).eval()
    fill_by_rule(method.state_dict(), rule, gain=1.5)
    with torch.inference_mode():
        for height, width in SIZES:
            pair, size = zoo_input(height, width, batch=2), f"{height}x{width}"
            check_arrays(f"mmdrfuse_{network}", {f"{rule}_raw_{size}": method.raw(*pair)}, 1e-5)
            final = method(*pair)[:1]
            check_arrays(f"mmdrfuse_{network}", {f"{rule}_final_{size}": final}, 1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_golden_features(network: Literal["student", "teacher"]) -> None:
    method, kept = MMDRFuse(network=network).eval(), dict[str, Tensor]()
    fill_by_rule(method.state_dict(), "B", gain=1.5)
    for name, layer in MIDS[network].items():
        key = f"B_mid_{name}_64x64"

        def keep(_: Any, __: Any, out: Tensor, key: str = key) -> None:
            kept[key] = out.relu()[:, : stored(f"mmdrfuse_{network}")["arrays"][key]["shape"][1]]

        method.get_submodule(layer).register_forward_hook(keep)
    with torch.inference_mode():
        method(*zoo_input(64, 64))
    assert len(kept) == len(MIDS[network])
    for key, features in kept.items():
        largest = max(map(abs, stored(f"mmdrfuse_{network}")["arrays"][key]["samples"]))
        check_arrays(f"mmdrfuse_{network}", {key: features}, 1e-4 * largest)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 5), (35, 34)])
def test_small_and_odd_sizes(network: Literal["student", "teacher"], size: tuple[int, int]) -> None:
    method = MMDRFuse(network=network)
    assert method.fuse(torch.rand(1, 1, *size), torch.rand(1, 1, *size)).shape[-2:] == size


@pytest.mark.parametrize("network", NETWORKS)
def test_stretch_is_per_image_and_off_unless_asked_for(
    network: Literal["student", "teacher"],
) -> None:
    torch.manual_seed(0)
    pair = torch.rand(2, 1, 1, 20, 24).unbind()
    pair = tuple(torch.cat([image, image / 3]) for image in pair)
    clipped = MMDRFuse(network=network)
    method = MMDRFuse(network=network, stretch=True)
    clipped.load_state_dict(method.state_dict())
    fused = method.fuse(*pair)
    assert fused.amin(dim=(1, 2, 3)).tolist() == [0, 0]
    assert fused.amax(dim=(1, 2, 3)).tolist() == [1, 1]
    with torch.inference_mode():
        assert torch.equal(clipped.fuse(*pair), clipped.raw(*pair).clamp(0, 1))


def test_parameters_are_checked() -> None:
    for wrong in ({"network": "pupil"}, {"stretch": 1}):
        with pytest.raises(InputError, match=r"mmdrfuse: \w+ is .*, but must be"):
            MMDRFuse(**wrong)


def test_loss_is_zero_for_the_maximum_and_sees_single_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student, teacher = MMDRFuse(), MMDRFuse(network="teacher")
    infrared, visible = torch.rand(2, 2, 1, 40, 32).unbind()
    brightest = torch.maximum(infrared, visible)
    for method in (student, teacher):
        monkeypatch.setattr(method, "raw", lambda *_: brightest)
        assert all(value == 0 for value in method.loss(infrared, visible).values())
    spot = torch.zeros(1, 1, 5, 5)
    spot[..., 2, 2] = 1.0
    for method, weight in ((student, 1), (teacher, 2)):
        monkeypatch.setattr(method, "raw", lambda *_: spot)
        got = method.loss(spot * 0, spot * 0)
        assert got["intensity"].item() == pytest.approx(1 / 25)
        assert got["gradient"].item() == pytest.approx((1 + 8 / 64) / 25 / 10)
        total = weight * got["intensity"] + got["gradient"]
        assert got["total"].item() == pytest.approx(total.item())


@pytest.mark.parametrize("network", NETWORKS)
def test_published_weights_fuse_a_real_pair(data_home: Path, network: str) -> None:
    checkpoint = data_home / "weights" / "fusion" / f"MMDRFuse_{network}.model"
    method = load_method("mmdrfuse", checkpoint, preset=network)
    scene = data_home / "data" / "msrs" / "test"
    name = min(path.name for path in (scene / "ir").iterdir())
    images = [torch.from_numpy(read_gray(scene / kind / name)) for kind in ("ir", "vi")]
    infrared, visible = (image[None, None, 100:340, 200:520].float() / 255 for image in images)
    fused = method.fuse(infrared, visible)
    assert fused.std() > 0.05
    target = torch.maximum(infrared, visible)
    together = torch.corrcoef(torch.stack([fused.flatten(), target.flatten()]))[0, 1]
    assert together > 0.9
