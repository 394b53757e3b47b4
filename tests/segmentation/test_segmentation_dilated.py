"""Dilated convolutions by other forms: values, gradients, keys and random numbers as before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from segmentation.dilated import DilatedConv2d, by_phases, use_dilated
from segmentation.model import build_model

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def pair(channels: int, step: int, **more: object) -> tuple[nn.Conv2d, nn.Conv2d]:
    plain = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=step, dilation=step, **more).double()
    )
    ours = nn.Sequential(plain[0])
    use_dilated(ours)
    assert type(plain[0]) is nn.Conv2d
    assert type(ours[0]) is DilatedConv2d
    return plain[0], ours[0]


def outcome(conv: nn.Conv2d, x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    y = conv(x)
    slope = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape).sin()
    return [y, *torch.autograd.grad(y, [x, *conv.parameters()], slope)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [2, 3, 4, 6, 7, 9, 12])
@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_conv2d(
    layout: torch.memory_format, step: int, depthwise: bool, bias: bool
) -> None:
    torch.manual_seed(step)
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64).contiguous(memory_format=layout)
    plain, ours = pair(6, step, groups=6 if depthwise else 1, bias=bias)
    wanted, found = outcome(plain, x), outcome(ours, x)
    assert len(wanted) == 3 + bias
    for one, two in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), ours(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("height", "width"), [(12, 16), (13, 9), (8, 11)])
def test_phases_of_any_size(height: int, width: int) -> None:
    conv, _ = pair(5, 3, groups=5, bias=False)
    x = torch.randn(2, 5, height, width, dtype=torch.float64)
    torch.testing.assert_close(by_phases(x, conv.weight, 3), conv(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2),
        nn.Conv2d(4, 4, 5, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, padding_mode="reflect"),
    ],
)
def test_other_convolutions_stay(other: nn.Conv2d) -> None:
    model = nn.Sequential(other)
    use_dilated(model)
    assert model[0] is other


@pytest.mark.parametrize("architecture", ["DeepLabV3", "DeepLabV3Plus"])
def test_a_segmenter_is_the_one_of_smp(architecture: str) -> None:
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    theirs = getattr(smp, architecture)("mobilenet_v2", encoder_weights=None, classes=3)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    ours, _ = build_model(architecture, "mobilenet_v2", 3, None)
    assert torch.equal(state, torch.get_rng_state())
    assert any(isinstance(part, DilatedConv2d) for part in ours.modules())
    wanted, found = theirs.state_dict(), ours.state_dict()
    assert list(wanted) == list(found)
    assert all(torch.equal(wanted[key], found[key]) for key in wanted)
    x = torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(x), ours.eval()(x), rtol=1e-4, atol=1e-5)
