"""GroupNorm: exact without gradients, torch's own with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusion.networks.lkc_funet.group_norm import GroupNorm


def _layer(groups: int, channels: int) -> GroupNorm:
    torch.manual_seed(0)
    layer = GroupNorm(groups, channels)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def _image(*shape: int) -> torch.Tensor:
    torch.manual_seed(1)
    return (3 * torch.randn(*shape) + 2).contiguous(memory_format=torch.channels_last)


def _off(layer: GroupNorm, x: torch.Tensor, y: torch.Tensor) -> float:
    exact = nn.functional.group_norm(
        x.double(), layer.num_groups, layer.weight.double(), layer.bias.double(), layer.eps
    )
    return float((y - exact).norm() / exact.norm())


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 47), (200, 300)])
def test_exact_without_gradients(size: tuple[int, int]) -> None:
    layer, x = _layer(4, 32), _image(2, 32, *size)
    with torch.inference_mode():
        assert _off(layer, x, layer(x)) < 1e-7


def test_more_exact_than_torch_on_a_large_image() -> None:
    layer, x = _layer(32, 160), _image(1, 160, 240, 320)
    with torch.inference_mode():
        ours, torchs = layer(x), nn.GroupNorm.forward(layer, x)
        assert 10 * _off(layer, x, ours) < _off(layer, x, torchs)


def test_keeps_the_memory_format() -> None:
    with torch.inference_mode():
        y = _layer(4, 32)(_image(2, 32, 9, 8))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_torchs_own_in_training_and_for_other_images() -> None:
    layer, x = _layer(4, 32), _image(2, 32, 20, 20)
    assert torch.equal(layer(x), nn.GroupNorm.forward(layer, x))
    with torch.inference_mode():
        for other in (x.contiguous(), x.double()):
            made = layer.to(other.dtype)
            assert torch.equal(made(other), nn.GroupNorm.forward(made, other))


def test_a_constant_image_becomes_its_shift() -> None:
    layer = _layer(4, 32)  # 5 / sqrt(eps) is 1600: float32 rounds it by 1e-4
    x = torch.full((1, 32, 64, 64), 5.0).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(
            layer(x), layer.bias.view(1, -1, 1, 1).expand_as(x), atol=1e-3, rtol=0
        )
