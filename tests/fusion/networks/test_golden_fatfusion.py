"""Our FATFusion against the outputs of the authors' module, and its shortcuts against the text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored, zoo_input
from torch.nn import functional as F

from fusion.methods.fatfusion import FATFusion
from fusion.networks import fatfusion
from fusion.networks.fatfusion import OneTokenAttention, Unit


@pytest.fixture(scope="module")
def filled() -> FATFusion:
    method = FATFusion().eval()
    fill(method, stored("fatfusion")["fill"])
    return method


def test_golden_keys() -> None:
    method = FATFusion()
    check_keys("fatfusion", method)
    assert sum(p.numel() for p in method.parameters()) == 7_771_037


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As many as the references were made with: one instead of two moves outputs by 2e-4."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("name", "size", "swap"),
    [
        ("out_64x64", (64, 64), False),
        ("out_swapped_64x64", (64, 64), True),
        ("out_96x80", (96, 80), False),
    ],
)
def test_golden_outputs(filled: FATFusion, name: str, size: tuple[int, int], swap: bool) -> None:
    pair = zoo_input(*size, 2)
    # The references call net(infrared, visible); the network takes our second image first.
    check_arrays("fatfusion", {name: filled.fuse(*(pair if swap else pair[::-1]))}, atol=2e-4)


def test_golden_batch_precision_and_state(filled: FATFusion) -> None:
    pair = zoo_input(21, 34, 2)
    before = {key: value.clone() for key, value in filled.state_dict().items()}
    together = filled.train().fuse(*pair)
    assert all(torch.equal(before[k], v) for k, v in filled.state_dict().items())
    alone = [filled.fuse(*(image[i : i + 1] for image in pair)) for i in range(2)]
    assert float((together - torch.cat(alone)).abs().mean()) < 1e-5
    precise = FATFusion().double()
    precise.load_state_dict(filled.state_dict())
    wide = precise.fuse(*(image.double() for image in pair))
    # The mean: where a token is nearly constant, layer norm magnifies rounding errors 300 times.
    assert float((together - wide).abs().mean()) < 1e-4


def test_chunks_of_tokens_do_not_show(filled: FATFusion, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = zoo_input(16, 24)
    whole = filled.fuse(*pair)
    monkeypatch.setattr(fatfusion, "TOKENS", 50)
    assert torch.allclose(filled.fuse(*pair), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3)])
def test_tiny_images(filled: FATFusion, size: tuple[int, int]) -> None:
    fused = filled.fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


def unit(c_in: int, c_out: int, kernel: int) -> Unit:
    torch.manual_seed(0)
    made = Unit(c_in, c_out, kernel).double().eval()
    for tensor in (made.bn.weight, made.bn.bias, made.bn.running_mean, made.bn.running_var):
        assert tensor is not None
        torch.nn.init.uniform_(tensor, 0.5, 1.5)
    return made


@torch.no_grad()
def test_unit_is_convolution_norm_and_leaky_relu() -> None:
    made, x = unit(3, 4, 5), torch.randn(2, 3, 8, 6, dtype=torch.float64)
    want = made.bn(made.conv(F.pad(x, [2] * 4, mode="replicate")))
    assert torch.allclose(made(x), F.leaky_relu(want, 0.01), atol=1e-12)
    assert bool((made(x) < 0).any())


@torch.no_grad()
def test_attention_over_one_token_projects_the_values() -> None:
    torch.manual_seed(0)
    attention = OneTokenAttention(16).double()
    tokens = torch.randn(5, 16, dtype=torch.float64)
    q, k, v = attention.qkv(tokens)[:, None].chunk(3, dim=-1)
    heads = (t.unflatten(-1, (8, 2)).transpose(1, 2) for t in (q, k, v))
    mixed = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(1)
    assert torch.allclose(attention(tokens), attention.proj(mixed), atol=1e-12)
