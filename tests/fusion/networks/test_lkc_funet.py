"""LKC-FUNet: sizes, switches, presets, errors, training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_tools import fill
from torch import Tensor, nn

from fusion.errors import InputError
from fusion.methods.lkc_funet import LKCFUNet
from fusion.networks.lkc_funet.blocks import DropPath
from fusion.networks.lkc_funet.mpafm import MPAFM
from fusion.networks.lkc_funet.unet import Design, FusionUNet

SMALL: dict[str, Any] = {"kernels": (3, 3, 3, 3), "init_kernel": 3, "width": 8, "stem": 4}


def _small(**switches: Any) -> LKCFUNet:
    torch.manual_seed(0)
    return LKCFUNet(**{**SMALL, **switches}).eval()


def _batch(seed: int, height: int, width: int, count: int = 1) -> Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(seed))


def _filled(**switches: Any) -> Tensor:
    method = _small(**switches)
    with torch.no_grad():
        fill(method)
        out: Tensor = method(_batch(1, 16, 16), _batch(2, 16, 16))
    return out


@pytest.mark.parametrize("size", [(33, 47), (5, 3), (1, 1), (1, 9), (8, 12)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    fused = _small().fuse(_batch(1, *size), _batch(2, *size))
    assert fused.shape == (1, 1, *size)
    assert bool(((fused >= 0) & (fused <= 1)).all())


def test_padding_reflects_right_and_bottom_and_is_cropped() -> None:
    method, a, b = _small(), _batch(1, 10, 11), _batch(2, 10, 11)
    rows, columns = [*range(10), 8, 7], [*range(11), 9]
    with torch.no_grad():
        want = method(a[..., rows, :][..., columns], b[..., rows, :][..., columns])
        torch.testing.assert_close(method(a, b), want[..., :10, :11], atol=1e-6, rtol=0)


def test_padding_repeats_the_edge_of_an_image_too_small_to_reflect() -> None:
    method, a, b = _small(), _batch(1, 8, 2), _batch(2, 8, 2)
    columns = [0, 1, 1, 1]
    with torch.no_grad():
        want = method(a[..., columns], b[..., columns])[..., :2]
        torch.testing.assert_close(method(a, b), want, atol=1e-6, rtol=0)


def test_a_batch_equals_its_images_one_by_one() -> None:
    method, a, b = LKCFUNet(**LKCFUNet.presets["tiny"]), _batch(1, 30, 22, 3), _batch(2, 30, 22, 3)
    together = method.fuse(a, b)
    alone = torch.cat([method.fuse(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_visible_is_channel_0_and_symmetric_range_is_default() -> None:
    method, a, b = _small(), _batch(1, 8, 8), _batch(2, 8, 8)
    with torch.no_grad():
        want = (method.model(torch.cat([2 * b - 1, 2 * a - 1], dim=1)) + 1) / 2
        torch.testing.assert_close(method(a, b), want, atol=1e-6, rtol=0)


def test_unit_range_feeds_and_returns_the_image_as_it_is() -> None:
    method, a, b = _small(test_range="unit"), _batch(1, 8, 8), _batch(2, 8, 8)
    with torch.no_grad():
        want = method.model(torch.cat([b, a], dim=1))
        torch.testing.assert_close(method(a, b), want, atol=1e-6, rtol=0)


def _count(preset: str) -> int:
    with torch.device("meta"):
        method = LKCFUNet(**LKCFUNet.presets[preset])
    assert all(key.startswith("model.") for key in method.state_dict())
    return sum(p.numel() for p in method.parameters())


@pytest.mark.parametrize(
    ("preset", "params"),
    [
        ("paper", 35_234_726),
        ("release_mif", 41_174_438),
        ("release_vif", 41_174_438),
        ("ablation_I", 3_983_782),
        ("ablation_II", 35_234_726),
        ("ablation_III", 35_234_726),
        ("ablation_IV", 3_983_782),
        ("ablation_V", 35_217_190),
        ("ablation_VI", 35_071_073),
    ],
)
def test_preset_has_the_specified_size(preset: str, params: int) -> None:
    assert _count(preset) == params


def test_tiny_is_tiny_and_every_preset_is_covered() -> None:
    assert _count("tiny") < 50_000
    rows = {f"ablation_{row}" for row in ("I", "II", "III", "IV", "V", "VI")}
    assert set(LKCFUNet.presets) == rows | {"paper", "release_mif", "release_vif", "tiny"}


@pytest.mark.parametrize("preset", ["release_mif", "release_vif"])
def test_release_presets_have_the_released_mpafm(preset: str) -> None:
    with torch.device("meta"):
        design = LKCFUNet(**LKCFUNet.presets[preset]).design
    assert (design.mpafm_roles, design.mpafm_residual) == ("dec_enc", True)
    assert design.norm_init == ("bn" if preset == "release_vif" else "in")


@pytest.mark.parametrize(
    "switch",
    [
        {"mpafm_roles": "dec_enc"},
        {"mpafm_residual": True},
        {"mpafm_norm": "none"},
        {"mpafm": "concat"},
        {"norm_init": "bn"},
        {"norm_init": "none"},
        {"norm_body": "bn"},
        {"norm_body": "none"},
        {"test_range": "unit"},
    ],
)
def test_each_switch_changes_the_image(switch: dict[str, Any]) -> None:
    assert (_filled(**switch) - _filled()).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"norm_init": "gn"}, r'norm_init is \'gn\', but must be "in" or "bn" or "none"'),
        ({"norm_body": "in"}, "norm_body is 'in'"),
        ({"mpafm": True}, 'mpafm is True, but must be "on" or "concat"'),
        ({"mpafm_roles": "dec"}, "mpafm_roles is 'dec'"),
        ({"mpafm_norm": "gn"}, "mpafm_norm is 'gn'"),
        ({"mpafm_residual": "yes"}, "mpafm_residual is 'yes', but must be true or false"),
        ({"test_range": "0-1"}, "test_range is '0-1'"),
        ({"kernels": (15, 7, 5)}, r"kernels is \(15, 7, 5\), but must be four odd numbers"),
        ({"kernels": (15, 7, 5, 4)}, "four odd numbers"),
        ({"kernels": 15}, "kernels is 15, but must be four odd numbers"),
        ({"init_kernel": 0}, "init_kernel is 0, but must be a positive odd number"),
        ({"width": 100}, "width is 100, but must be a positive multiple of 8"),
        ({"stem": 0}, "stem is 0, but must be a positive number"),
        ({"dropout": 1.0}, "dropout is 1.0, but must be a number from 0 to below 1"),
        ({"dropout": "a"}, "dropout is 'a', but must be a number from 0 to below 1"),
    ],
)
def test_a_wrong_value_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LKCFUNet(**{**SMALL, **wrong})


def test_a_list_of_kernels_from_a_file_is_welcome() -> None:
    assert LKCFUNet(**{**SMALL, "kernels": [3, 3, 3, 3]}).design.kernels == (3, 3, 3, 3)


@pytest.mark.parametrize("switch", [{}, {"norm_body": "none"}, {"mpafm": "concat"}])
def test_loss_reaches_every_parameter(switch: dict[str, Any]) -> None:
    method = _small(**switch, dropout=0.0).train()
    parts = method.loss(_batch(1, 18, 21, 2), _batch(2, 18, 21, 2))
    parts["total"].backward()
    assert set(parts) == {"total", "intensity", "ssim", "gradient"}
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert method.model.init_conv.weight.grad.abs().max() > 0


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    method = _small(dropout=0.0)
    optimiser = torch.optim.Adam(method.parameters(), 3e-3)
    history = []
    for _ in range(12):
        total = method.loss(_batch(1, 16, 16, 2), _batch(2, 16, 16, 2))["total"]
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append(total.item())
    assert history[-1] < 0.8 * history[0]


def test_loss_is_compared_in_the_symmetric_range() -> None:
    method, a, b = _small(dropout=0.0), _batch(1, 16, 16), _batch(2, 16, 16)
    got = method.loss(a, b)["intensity"]
    fused = method.model(torch.cat([2 * b - 1, 2 * a - 1], dim=1))
    want = (fused - torch.maximum(2 * a - 1, 2 * b - 1)).abs().mean()
    assert got.item() == pytest.approx(want.item(), rel=1e-4)


def test_stochastic_depth_drops_whole_samples_in_training_only() -> None:
    torch.manual_seed(0)
    path, x = DropPath(0.2), torch.ones(4000, 2, 1, 1)
    kept = path(x)
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert (kept[:, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(path.eval()(x), x)


def test_dropout_stands_where_the_paper_has_it() -> None:
    method = _small(dropout=0.3)
    rates = [m.p for m in method.modules() if isinstance(m, nn.Dropout)]
    paths = [m.rate for m in method.modules() if isinstance(m, DropPath)]
    assert rates == [0.3] * 8
    assert paths == [0.3] * 10


def test_group_sizes_follow_the_base_width() -> None:
    assert [Design().groups(c) for c in (128, 160, 256)] == [32, 32, 32]
    assert [Design(width=16, stem=8).groups(c) for c in (16, 24, 32)] == [4, 4, 4]


def test_mpafm_gives_the_channel_path_to_the_feature_its_roles_name() -> None:
    torch.manual_seed(0)
    paper = MPAFM(8, "enc_dec", residual=False, norm="bn").eval()
    released = MPAFM(8, "dec_enc", residual=False, norm="bn").eval()
    released.load_state_dict(paper.state_dict())
    decoder, encoder = torch.rand(2, 1, 8, 4, 4).unbind()
    with torch.no_grad():
        assert torch.equal(paper(decoder, encoder), released(encoder, decoder))


def test_network_needs_its_multiple_of_four_which_the_method_pads() -> None:
    with torch.no_grad(), pytest.raises(RuntimeError):
        FusionUNet(Design(**SMALL))(torch.zeros(1, 2, 6, 7))
