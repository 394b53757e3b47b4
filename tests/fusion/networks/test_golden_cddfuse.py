"""Our CDDFuse against the outputs of the authors' modules."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from golden_rules import fill_by_rule
from golden_tools import check_arrays, check_keys, stored, zoo_input
from torch import Tensor

from fusion import load_method
from fusion.errors import InputError
from fusion.layers import strips
from fusion.methods.cddfuse import CDDFuse
from fusion.torch_tools import write_checkpoint

SIZES = [(64, 64), (96, 80)]


def published(method: CDDFuse) -> dict[str, Tensor]:
    """Return the state dict, not a copy, under the authors' names."""
    authors = {ours: theirs for theirs, ours in CDDFuse.nested.items()}
    named = {}
    for key, tensor in method.state_dict().items():
        part, rest = key.split(".", 1)
        named[f"{authors[part + '.']}.{rest}"] = tensor
    return named


def make(rule: Literal["A", "B"], stretch: bool) -> CDDFuse:
    method = CDDFuse(stretch=stretch).eval()
    special = {r"\.(scale|temperature)$": (3.0, 1.0)}
    fill_by_rule(published(method), rule, gain=1.2, special=special)
    return method


def test_golden_keys() -> None:
    method = CDDFuse()
    check_keys("cddfuse", published(method))
    assert sum(p.numel() for p in method.parameters()) == 1_188_272


@pytest.mark.parametrize("rule", ["A", "B"])
@pytest.mark.parametrize("size", SIZES)
def test_golden_outputs(rule: Literal["A", "B"], size: tuple[int, int]) -> None:
    infrared, visible = zoo_input(*size, batch=2)
    name = f"{size[0]}x{size[1]}"
    raw = make(rule, stretch=False).fuse(infrared, visible)
    check_arrays("cddfuse", {f"{rule}_raw_{name}": raw}, atol=1e-5)
    final = make(rule, stretch=True).fuse(infrared[:1], visible[:1])
    check_arrays("cddfuse", {f"{rule}_final_{name}": final}, atol=1e-4)


@torch.inference_mode()
def test_golden_parts() -> None:
    method, (infrared, visible) = make("B", stretch=False), zoo_input(64, 64)
    base, detail, shallow = method.encoder(visible)
    other_base, other_detail, _ = method.encoder(infrared)
    got = {
        "B_mid_enc_vis_shallow_64x64": shallow,
        "B_mid_enc_vis_base_64x64": base,
        "B_mid_enc_vis_detail_64x64": detail,
        "B_mid_fused_base_64x64": method.base_fuser(base + other_base),
        "B_mid_fused_detail_64x64": method.detail_fuser(detail + other_detail),
    }
    for key, features in got.items():
        atol = 1e-4 * max(map(abs, stored("cddfuse")["arrays"][key]["samples"]))
        check_arrays("cddfuse", {key: features[:, :3]}, atol)
    alone = method.decoder(None, base, detail)
    check_arrays("cddfuse", {"B_dec_noinput_64x64": alone}, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_strips_change_nothing(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [image.double() for image in zoo_input(33, 20)]
    method = make("B", stretch=False).double()
    whole = method.fuse(*pair)
    monkeypatch.setattr(strips, "STRIP_VALUES", rows * 64 * 20)
    cut = len(list(strips.strips(torch.zeros(1, 64, 33, 20), halo=1)))
    assert cut == -(-33 // rows)
    assert torch.allclose(method.fuse(*pair), whole, rtol=0, atol=1e-12)


def test_a_batch_is_stretched_image_by_image() -> None:
    infrared, visible = zoo_input(24, 32, batch=2)
    method = make("B", stretch=True)
    fused = method.fuse(infrared, visible)
    assert fused.amin((1, 2, 3)).tolist() == [0, 0]
    assert fused.amax((1, 2, 3)).tolist() == [1, 1]
    assert torch.equal(fused[1:], method.fuse(infrared[1:], visible[1:]))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (2, 3)])
def test_tiny_images_keep_their_size(size: tuple[int, int]) -> None:
    fused = make("B", stretch=True).fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_stretch_is_checked(value: object) -> None:
    with pytest.raises(InputError, match="cddfuse: stretch is"):
        load_method("cddfuse", stretch=value)


def test_the_authors_file_layout_loads(tmp_path: Path) -> None:
    method = make("B", stretch=True)
    content: dict[str, dict[str, Tensor]] = {}
    for key, tensor in published(method).items():
        part, rest = key.split(".", 1)
        content.setdefault(part, {})[f"module.{rest}"] = tensor
    write_checkpoint(tmp_path / "CDDFuse_IVF.pth", content)
    loaded = load_method("cddfuse", tmp_path / "CDDFuse_IVF.pth", preset="official")
    pair = zoo_input(16, 24)
    assert torch.equal(loaded.fuse(*pair), method.fuse(*pair))
