"""The fusion loss and its parts, against definitions written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate
from torch import Tensor

from fusion.losses import fusion_loss, sobel, ssim


def _random(seed: int, shape: tuple[int, ...] = (2, 1, 13, 17)) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _plain_ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    taps = np.exp(-(np.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(correlate(image, window, mode="constant"))

    m1, m2 = blur(a), blur(b)
    v1, v2, cov = blur(a * a) - m1**2, blur(b * b) - m2**2, blur(a * b) - m1 * m2
    top = (2 * m1 * m2 + 1e-4) * (2 * cov + 9e-4)
    return float((top / ((m1**2 + m2**2 + 1e-4) * (v1 + v2 + 9e-4))).mean())


@pytest.mark.parametrize("shape", [(2, 1, 13, 17), (1, 1, 4, 30), (1, 1, 1, 1)])
def test_ssim_is_the_gaussian_windowed_mean_with_zero_padding(shape: tuple[int, ...]) -> None:
    a, b = _random(1, shape), _random(2, shape)
    want = np.mean([_plain_ssim(x[0].numpy(), y[0].numpy()) for x, y in zip(a, b, strict=True)])
    assert ssim(a, b).item() == pytest.approx(float(want), abs=1e-12)


def test_ssim_of_an_image_with_itself_is_one() -> None:
    assert ssim(_random(3), _random(3)).item() == pytest.approx(1.0, abs=1e-12)


def test_sobel_is_the_sum_of_absolute_correlations() -> None:
    image = _random(4)
    x = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    y = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
    for got, plane in zip(sobel(image)[:, 0], image[:, 0].numpy(), strict=True):
        want = sum(np.abs(correlate(plane, k, mode="constant")) for k in (x, y))
        np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


def test_loss_is_the_sum_of_its_parts_and_each_part_reads_both_sources() -> None:
    fused, a, b = _random(5), _random(6), _random(7)
    parts = fusion_loss(fused, a, b)
    assert set(parts) == {"total", "intensity", "ssim", "gradient"}
    assert parts["total"] == parts["intensity"] + parts["ssim"] + parts["gradient"]
    swapped = fusion_loss(fused, b, a)
    only_a = fusion_loss(fused, a, a)
    for name, value in parts.items():
        assert swapped[name].item() == pytest.approx(value.item(), abs=1e-12)
        assert abs(only_a[name].item() - value.item()) > 1e-3, name


def test_loss_vanishes_when_both_sources_are_the_fused_image() -> None:
    parts = fusion_loss(_random(8), _random(8), _random(8))
    assert all(abs(value.item()) < 1e-12 for value in parts.values())


def test_loss_runs_in_the_dtype_it_is_given_and_has_a_gradient() -> None:
    fused = _random(9).float().requires_grad_()
    total = fusion_loss(fused, _random(10).float(), _random(11).float())["total"]
    total.backward()
    assert total.dtype == torch.float32
    assert fused.grad is not None
    assert torch.isfinite(fused.grad).all()
    assert (fused.grad != 0).any()


def test_half_precision_is_computed_in_full() -> None:
    fused, infrared, visible = (_random(seed, (1, 1, 24, 24)).float() for seed in (1, 2, 3))
    half = fused.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fusion_loss(half, infrared, visible)
    want = fusion_loss(half.float(), infrared, visible)
    assert {key: value.item() for key, value in got.items()} == {
        key: value.item() for key, value in want.items()
    }
