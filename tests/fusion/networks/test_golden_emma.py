"""Our EMMA against the outputs of the authors' modules."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from golden_rules import fill_by_rule
from golden_tools import check_arrays, check_keys, stored, zoo_input
from torch import Tensor, nn

from fusion import load_method
from fusion.errors import InputError
from fusion.layers import strips
from fusion.methods.emma import EMMA

SIZES = [(64, 64), (96, 80)]
PARTS = ("I_en_1", "V_en_4", "f_1", "f_4", "de_4", "up4", "de_1")


def make(rule: Literal["A", "B"], **params: bool) -> EMMA:
    method = EMMA(**{"stretch": True, **params}).eval()
    fill_by_rule(method.state_dict(), rule, gain=1.5, special={r"\.scale$": (3.0, 1.0)})
    return method


def test_golden_keys() -> None:
    method = EMMA()
    check_keys("emma", method)
    assert sum(p.numel() for p in method.parameters()) == 1_517_657


@pytest.mark.parametrize("rule", ["A", "B"])
@pytest.mark.parametrize("size", SIZES)
def test_golden_outputs(rule: Literal["A", "B"], size: tuple[int, int]) -> None:
    infrared, visible = zoo_input(*size, batch=2)
    name = f"{size[0]}x{size[1]}"
    raw = make(rule, stretch=False).fuse(infrared, visible)
    check_arrays("emma", {f"{rule}_raw_{name}": raw}, atol=1e-5)
    final = make(rule, crops=True).fuse(infrared[:1], visible[:1])
    check_arrays("emma", {f"{rule}_final_{name}": final}, atol=1e-4)


def test_golden_crops_of_both_sides() -> None:
    final = make("B", crops=True).fuse(*zoo_input(75, 50))
    check_arrays("emma", {"B_final_75x50": final}, atol=1e-4)


@torch.inference_mode()
def test_golden_parts() -> None:
    method, seen = make("B"), {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            seen[f"B_mid_{name}_64x64"] = out[:, :3]

        return hook

    for name in PARTS:
        method.get_submodule(name).register_forward_hook(keep(name))
    method.run(*zoo_input(64, 64))
    assert len(seen) == len(PARTS)
    for key, features in seen.items():
        atol = 1e-4 * max(map(abs, stored("emma")["arrays"][key]["samples"]))
        check_arrays("emma", {key: features}, atol)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [image.double() for image in zoo_input(40, 32)]
    method = make("B", stretch=False).double()
    whole = method.fuse(*pair)
    monkeypatch.setattr(strips, "STRIP_VALUES", 3 * 8 * 32)
    assert torch.allclose(method.fuse(*pair), whole, rtol=0, atol=1e-12)


def test_sides_of_32_need_no_crops() -> None:
    pair = zoo_input(32, 64)
    assert torch.equal(make("B", crops=True).fuse(*pair), make("B").fuse(*pair))


def test_crops_join_what_each_gives_alone() -> None:
    pair = zoo_input(48, 64)
    whole, parts = make("B", stretch=False), make("B", stretch=False, crops=True)
    at_once, cropped = whole.fuse(*pair), parts.fuse(*pair)
    upper = parts.fuse(*(image[..., :32, :] for image in pair))
    lower = parts.fuse(*(image[..., 16:, :] for image in pair))
    assert torch.equal(cropped, torch.cat([upper, lower[..., 16:, :]], dim=2))
    assert not torch.allclose(at_once, cropped, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (15, 2), (8, 8)])
def test_tiny_images_keep_their_size(size: tuple[int, int]) -> None:
    fused = make("B").fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


def test_crops_need_32_pixels() -> None:
    with pytest.raises(InputError, match="a side of 31 pixels is too short"):
        make("B", crops=True).fuse(*zoo_input(64, 31))


@pytest.mark.parametrize("name", ["stretch", "crops"])
@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_switches_are_checked(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"emma: {name} is"):
        load_method("emma", **{name: value})
