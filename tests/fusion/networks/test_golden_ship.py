"""Our SHIP against the outputs of the authors' module, and with the authors' weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_rules import fill_by_rule
from golden_tools import check_arrays, check_keys, zoo_input
from torch import Tensor

from fusion import load_method
from fusion.methods.ship import SHIP
from fusion.networks.ship.blocks import CrossDifference, LUConv
from fusion.pairs import read_gray

MIDDLE = (
    *("vis", "inf", "interaction1.spatial", "interaction1.channel.postprocess.0.invconv"),
    *("interaction1.channel.postprocess.0", "interaction1.channel", "interaction2"),
    *("interaction3", "postprocess"),
)
LOGITS = ("chaAtten", "reflashChaAtten1", "reflashChaAtten2", "reflashChaAtten3")


@pytest.fixture(scope="module")
def ship() -> SHIP:
    method = SHIP().eval()
    with torch.no_grad():
        state = method.state_dict()
        fill_by_rule(state, "B", 1.5, {r"log_s$": (0.0, 0.2)})
        for key, tensor in state.items():
            if key.endswith("sign_s"):
                tensor.copy_(torch.tensor([1.0, -1.0]).repeat(len(tensor) // 2))
            elif key.endswith("invconv.p"):
                tensor.copy_(torch.eye(len(tensor)).roll(1, dims=1))
    return method


def test_golden_keys() -> None:
    method = SHIP()
    check_keys("ship", method)
    assert sum(p.numel() for p in method.parameters()) == 547_509


@pytest.mark.parametrize(("height", "width", "count"), [(64, 64, 2), (96, 80, 2), (45, 51, 1)])
def test_golden_raw(ship: SHIP, height: int, width: int, count: int) -> None:
    with torch.inference_mode():
        raw = ship(*zoo_input(height, width, count))
    check_arrays("ship", {f"B_raw_{height}x{width}": raw}, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64), (96, 80)])
def test_golden_colour(ship: SHIP, size: tuple[int, int]) -> None:
    infrared, visible = zoo_input(*size)
    r, g, b = visible, 0.8 * visible + 0.1, 1 - visible
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cr, cb = 0.713 * (r - y), 0.564 * (b - y)
    name = "{}_{}x{}".format("{}", *size)
    fused = ship.fuse(infrared, y)
    colour = [fused + 1.403 * cr, fused - 0.714 * cr - 0.344 * cb, fused + 1.773 * cb]
    check_arrays("ship", {name.format("B_rgb_y"): fused}, atol=2e-4)
    final = torch.cat(colour, dim=1).clamp(0, 1)
    check_arrays("ship", {name.format("B_final"): final}, atol=2e-4)


def test_golden_middle(ship: SHIP) -> None:
    got: dict[str, Tensor] = {}

    def keep(name: str, channels: int) -> Any:
        def hook(module: torch.nn.Module, inputs: object, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            got[f"B_mid_{name}_64x64"] = first[:, :channels]

        return hook

    hooks = [ship.get_submodule(n).register_forward_hook(keep(n, 3)) for n in MIDDLE]
    for name in LOGITS:
        module = ship.get_submodule(f"interaction1.channel.{name}")
        hooks.append(module.register_forward_hook(keep(f"interaction1.channel.{name}_logits", 32)))
    try:
        ship.fuse(*zoo_input(64, 64))
    finally:
        for hook in hooks:
            hook.remove()
    assert len(got) == len(MIDDLE) + len(LOGITS)
    for key, value in got.items():
        check_arrays("ship", {key: value.contiguous()}, atol=1e-4 * float(value.abs().max()))


def test_golden_batch_and_precision(ship: SHIP) -> None:
    pair = zoo_input(33, 46, 2)
    together = ship.fuse(*pair)
    alone = [ship.fuse(*(image[i : i + 1] for image in pair)) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=2e-4, rtol=0)
    precise = SHIP().double()
    precise.load_state_dict(ship.state_dict())
    wide = precise.fuse(*(image.double() for image in pair))
    assert torch.allclose(together.double(), wide, atol=2e-4, rtol=0)


def test_cross_difference_is_the_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    block, x = CrossDifference(2).double(), torch.rand(1, 2, 6, 7, dtype=torch.float64)
    with torch.no_grad():
        block.HP_branch.fill_(0.4)
        parts = []
        for cross, shape in ((block.h_conv, "_0_123_4_"), (block.d_conv, "0_1_2_3_4")):
            w = cross.conv.weight[:, :, 0]
            cells = [w[..., int(c)] if c != "_" else torch.zeros_like(w[..., 0]) for c in shape]
            kernel = torch.stack(cells, dim=-1).view(2, 2, 3, 3)
            plain = torch.conv2d(x, kernel, padding=1)
            parts.append(plain - 0.8 * torch.conv2d(x, w.sum(-1)[..., None, None]))
        gate = torch.tensor(0.4, dtype=torch.float64).sigmoid()
        want = gate * parts[0] + (1 - gate) * parts[1] + x
        assert torch.allclose(block(x), want, atol=1e-12)
        block.HP_branch.fill_(-2645.0)  # as released: the upright cross is dead, nothing overflows
        assert torch.allclose(block(x), parts[1] + x, atol=1e-12)


def test_untrained_mixing_keeps_lengths() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 16, 5, 4)
    with torch.no_grad():
        y = LUConv(16)(x)
    assert torch.allclose(y.norm(dim=1), x.norm(dim=1), atol=1e-4)
    assert not torch.allclose(y, x, atol=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2)])
def test_tiny_images(ship: SHIP, size: tuple[int, int]) -> None:
    fused = ship.fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


def test_golden_published_weights() -> None:
    root = os.environ.get("FUSE_THEN_DATA")
    if not root:
        pytest.skip("FUSE_THEN_DATA is not set: the authors' checkpoint is not at hand")
    method = load_method("ship", Path(root) / "weights" / "fusion" / "SHIP_model.pth")
    scene = Path(root) / "data" / "tno"
    pair = [read_gray(next((scene / side).glob("10.*")))[:240, :320] for side in ("ir", "vi")]
    infrared, visible = (torch.from_numpy(i).float()[None, None] / 255 for i in pair)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    fused = method.fuse(infrared, visible)
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())
    assert fused.std() > 0.05
    brighter = torch.maximum(infrared, visible)  # what its loss asks for
    agreement = np.corrcoef(fused.flatten().numpy(), brighter.flatten().numpy())[0, 1]
    assert agreement > 0.9
