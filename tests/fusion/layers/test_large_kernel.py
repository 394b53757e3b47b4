"""Large kernels by tiles equal torch's convolution: values, gradients, types, and memory."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor, nn

from fusion.layers.large_kernel import autograd
from fusion.layers.large_kernel import layer as layers
from fusion.layers.large_kernel.cost import (
    Problem,
    best_tile,
    direct_seconds,
    spectral_seconds,
)
from fusion.layers.large_kernel.layer import LargeKernelConv2d, algorithm
from fusion.networks.lkc_funet.blocks import PointwiseConv2d

CASES = [  # batch, channels in, channels out, height, width, kernel, padding
    (1, 3, 4, 20, 33, 5, 2),
    (2, 2, 3, 31, 17, 7, 3),
    (2, 4, 2, 9, 11, 15, 7),
    (1, 1, 1, 40, 50, 15, 7),
    (3, 2, 2, 12, 12, 5, 0),
    (1, 2, 2, 10, 70, 3, 4),
    (2, 1, 2, 16, 16, 4, 1),
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch.manual_seed(0)


def pair(case: tuple[int, ...], bias: bool = True) -> tuple[LargeKernelConv2d, nn.Conv2d, Tensor]:
    batch, c_in, c_out, height, width, kernel, padding = case
    ours = LargeKernelConv2d(c_in, c_out, kernel, padding=padding, bias=bias).double()
    theirs = nn.Conv2d(c_in, c_out, kernel, padding=padding, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs, torch.randn(batch, c_in, height, width, dtype=torch.float64)


def never(*_: object, **__: object) -> None:
    raise AssertionError("the other algorithm was used")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("last", [False, True])
def test_values_and_all_gradients_equal_those_of_conv2d(
    case: tuple[int, ...], last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs, x = pair(case)
    if last:
        x = x.to(memory_format=torch.channels_last)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    want = theirs(b)
    weight = torch.randn_like(want)
    (want * weight).sum().backward()
    monkeypatch.setattr(nn.Conv2d, "_conv_forward", never)
    with algorithm("spectral"):
        got = ours(a)
    (got * weight).sum().backward()
    with algorithm("spectral"), torch.inference_mode():
        assert torch.allclose(ours(x), want, atol=1e-12)
    assert torch.allclose(got, want, atol=1e-12)
    assert torch.allclose(a.grad, b.grad, atol=1e-12)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, atol=1e-11)
    assert torch.allclose(ours.bias.grad, theirs.bias.grad, atol=1e-11)


@pytest.mark.parametrize("tile", [15, 16, 17, 22, 31])
def test_every_tile_gives_the_same(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, x = pair((2, 2, 3, 23, 40, 15, 7), bias=False)
    monkeypatch.setattr(layers, "best_tile", lambda p: (tile, 0.0))
    with algorithm("spectral"), torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)


def test_an_image_in_many_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, x = pair((3, 2, 2, 30, 60, 5, 2))
    monkeypatch.setattr(layers, "best_tile", lambda p: (12, 0.0))
    column = 2 * 4 * 12 * 7 * 4 * 8  # the bytes of one column of tiles
    for size in (1, 3 * column, 16 * column):
        monkeypatch.setattr(autograd, "CHUNK_BYTES", size)
        parts = list(autograd.parts(x, 2, 5, 2, 12))
        assert (len(parts) == 1) is False
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        with algorithm("spectral"):
            got = ours(a)
        want = theirs(b)
        grads = [
            torch.autograd.grad(y.square().sum(), (i, m.weight))
            for y, i, m in ((got, a, ours), (want, b, theirs))
        ]
        assert torch.allclose(got, want, atol=1e-12)
        assert all(torch.allclose(*both, atol=1e-10) for both in zip(*grads, strict=True))


def test_float32_keeps_six_digits() -> None:
    layer = LargeKernelConv2d(32, 32, 15, padding=7)
    x = torch.randn(1, 32, 64, 70).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = nn.functional.conv2d(x.double(), layer.weight.double(), layer.bias.double(), 1, 7)
        with algorithm("spectral"):
            got = layer(x)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert float((got - exact).abs().max() / exact.abs().max()) < 3e-6


def test_keys_and_weights_are_those_of_conv2d() -> None:
    torch.manual_seed(3)
    ours = LargeKernelConv2d(2, 3, 7, padding=3)
    torch.manual_seed(3)
    theirs = nn.Conv2d(2, 3, 7, padding=3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in ours.state_dict().items())


@pytest.mark.parametrize(
    "kwargs",
    [
        {"stride": 2},
        {"dilation": 2},
        {"groups": 2},
        {"padding_mode": "reflect", "padding": 1},
        {"padding": "same"},
        {"padding": (1, 2)},
        {"kernel_size": (5, 3)},
    ],
)
def test_what_tiles_cannot_do_is_done_directly(kwargs: dict[str, object]) -> None:
    arguments = {"kernel_size": 5, **kwargs}
    torch.manual_seed(1)
    ours = LargeKernelConv2d(2, 2, **arguments)
    torch.manual_seed(1)
    theirs = nn.Conv2d(2, 2, **arguments)
    x = torch.randn(1, 2, 20, 20)
    with algorithm("spectral"):
        assert torch.equal(ours(x), theirs(x))


def test_a_kernel_larger_than_the_image_fails_as_torch_does() -> None:
    with algorithm("spectral"), pytest.raises(RuntimeError, match="Kernel size"):
        LargeKernelConv2d(1, 1, 9)(torch.zeros(1, 1, 4, 4))


def test_the_choice_follows_the_predicted_time(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = LargeKernelConv2d(2, 2, 5, padding=2), torch.randn(1, 2, 16, 16)
    with torch.no_grad():
        monkeypatch.setattr(layers, "direct_seconds", lambda p: 0.0)
        assert layer._tile(x) is None
        monkeypatch.setattr(layers, "direct_seconds", lambda p: 1e9)
        assert layer._tile(x) is not None
        assert layer._tile(x.to("meta")) is None, "only a CPU's rates are known"
        with algorithm("direct"):
            assert layer._tile(x) is None


def test_the_model_prefers_tiles_for_large_kernels_and_many_channels() -> None:
    paper = Problem(1, 128, 128, 480, 640, 15, 7, kernel_known=True)
    tile, seconds = best_tile(paper)
    assert 40 <= tile <= 80
    assert direct_seconds(paper) > 10 * seconds
    few = Problem(1, 4, 4, 480, 640, 3, 1, kernel_known=True)
    assert direct_seconds(few) < best_tile(few)[1]
    unknown = Problem(1, 128, 128, 480, 640, 15, 7, kernel_known=False)
    assert spectral_seconds(unknown, tile) > spectral_seconds(paper, tile)


def test_a_kept_spectrum_follows_the_weights() -> None:
    ours, theirs, x = pair(CASES[0])
    with algorithm("spectral"), torch.no_grad():
        first = ours(x)
        kept = layers._SPECTRA[ours]
        assert torch.equal(ours(x), first)
        assert layers._SPECTRA[ours] is kept
        for layer in (ours, theirs):
            layer.weight.mul_(2)
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)
        ours.load_state_dict({k: v * 0 for k, v in ours.state_dict().items()})
        assert float(ours(x).abs().max()) == 0
        theirs.load_state_dict(ours.state_dict())
        ours.weight = nn.Parameter(torch.ones_like(ours.weight))
        theirs.weight = nn.Parameter(torch.ones_like(ours.weight))
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)


def test_kept_spectra_stay_within_their_budget_and_leave_with_their_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs, x = pair(CASES[0])
    monkeypatch.setattr(layers, "SPECTRA_BYTES", 0)
    with algorithm("spectral"), torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)
        assert ours not in layers._SPECTRA
        monkeypatch.setattr(layers, "SPECTRA_BYTES", 1 << 30)
        ours(x)
    assert ours in layers._SPECTRA
    before = len(layers._SPECTRA)
    del ours
    gc.collect()
    assert len(layers._SPECTRA) == before - 1


def test_weights_made_under_inference_mode_are_not_kept() -> None:
    with torch.inference_mode(), algorithm("spectral"):
        ours, theirs, x = pair(CASES[1])
        ours(x)
        assert ours not in layers._SPECTRA
        for layer in (ours, theirs):
            layer.weight.mul_(3)
        assert torch.allclose(ours(x), theirs(x), atol=1e-12)


def test_memory_of_an_inference_serves_a_training() -> None:
    layer, x = LargeKernelConv2d(2, 2, 5, padding=2), torch.randn(1, 2, 20, 20)
    with algorithm("spectral"):
        with torch.inference_mode():
            still = layer(x)
        moving = layer(x)
        moving.sum().backward()
    assert torch.allclose(still, moving, atol=1e-6)
    assert layer.weight.grad is not None


@pytest.mark.parametrize("frozen", ["input", "weight"])
def test_only_the_gradients_asked_for_are_computed(frozen: str) -> None:
    ours, theirs, x = pair(CASES[0])
    for layer in (ours, theirs):
        layer.weight.requires_grad_(frozen != "weight")
    a, b = (x.clone().requires_grad_(frozen != "input") for _ in range(2))
    with algorithm("spectral"):
        ours(a).square().sum().backward()
    theirs(b).square().sum().backward()
    for got, want in ((a.grad, b.grad), (ours.weight.grad, theirs.weight.grad)):
        assert (got is None) == (want is None)
        assert got is None or torch.allclose(got, want, atol=1e-10)


def test_low_precision_computes_in_float32_and_answers_in_kind() -> None:
    layer, x = LargeKernelConv2d(2, 2, 5, padding=2), torch.randn(1, 2, 20, 20)
    with algorithm("spectral"):
        want = layer(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = layer(x)
            got.float().sum().backward()
        half = layer.bfloat16()(x.bfloat16())
    assert got.dtype == half.dtype == torch.bfloat16
    assert torch.equal(got, want.bfloat16())
    assert layer.weight.grad is not None
    assert torch.allclose(half.float(), want, atol=0.05)


def test_second_derivatives_are_refused() -> None:
    layer, x = LargeKernelConv2d(1, 1, 5, padding=2), torch.randn(1, 1, 12, 12, requires_grad=True)
    with algorithm("spectral"):
        (grad,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("size", [(2, 9, 14, 7, 3), (1, 40, 55, 7, 0), (2, 12, 12, 15, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_depthwise_gradients_equal_those_of_conv2d(
    size: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, height, width, kernel, padding = size
    x = torch.randn(batch, 3, height, width, dtype=torch.float64)
    ours = LargeKernelConv2d(3, 3, kernel, padding=padding, groups=3, bias=bias).double()
    theirs = nn.Conv2d(3, 3, kernel, padding=padding, groups=3, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    monkeypatch.setattr(autograd, "CHUNK_BYTES", 1 << 18)  # several parts add up
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    got, want = ours(a), theirs(b)
    assert "Depthwise" in got.grad_fn.name()
    assert torch.equal(got, want)
    for out in (got, want):
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-12)
    assert torch.allclose(ours.weight.grad, theirs.weight.grad, atol=1e-10)
    assert not bias or torch.allclose(ours.bias.grad, theirs.bias.grad, atol=1e-10)


def test_depthwise_layers_that_do_not_learn_stay_direct() -> None:
    layer = LargeKernelConv2d(2, 2, 7, padding=3, groups=2)
    x = torch.randn(1, 2, 9, 9, requires_grad=True)
    with algorithm("direct"):
        assert "Depthwise" not in layer(x).grad_fn.name()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "Depthwise" not in layer(x).grad_fn.name()
    assert layer(x.detach()).grad_fn.name().startswith("Depthwise")
    layer(x.detach()).sum().backward()
    layer.weight.requires_grad_(False)
    assert "Depthwise" not in layer(x).grad_fn.name()


@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_convolution_equals_conv2d(bias: bool) -> None:
    layer = PointwiseConv2d(3, 5, 1, bias=bias).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    for image in (x, x.to(memory_format=torch.channels_last)):
        want = nn.functional.conv2d(image, layer.weight, layer.bias)
        assert torch.allclose(layer(image), want, atol=1e-14)
