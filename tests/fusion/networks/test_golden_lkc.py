"""Our LKC-FUNet and its loss against the outputs of the authors' modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from golden_tools import (
    LKC_CONFIGS,
    Array,
    fill,
    full_folder,
    key_digest,
    lkc_input,
    sample,
    stored,
)
from numpy.typing import NDArray

from fusion.layers.large_kernel.layer import algorithm
from fusion.losses import fusion_loss, ssim
from fusion.methods.lkc_funet import LKCFUNet


@dataclass
class Built:
    name: str
    method: LKCFUNet
    out: Array
    params: int
    shapes: dict[str, tuple[int, ...]]


@pytest.fixture(scope="module", params=list(LKC_CONFIGS))
def built(request: pytest.FixtureRequest) -> Built:
    name = request.param
    with torch.inference_mode():
        method = LKCFUNet(**LKC_CONFIGS[name]).eval()
        fill(method)
        shapes = {key: tuple(value.shape) for key, value in method.state_dict().items()}
        params = sum(p.numel() for p in method.parameters())
        with algorithm("spectral"):  # direct, a float64 layer takes a gigabyte and a minute
            out = method.double().model(lkc_input(64, 64).double()).numpy()
    return Built(name, method, out, params, shapes)


def test_golden_compact(built: Built) -> None:
    want = stored(built.name)
    assert built.params == want["params"]
    assert len(built.shapes) == want["keys"]
    assert key_digest(built.shapes) == want["keys_sha256"]
    assert list(built.out.shape) == want["shape"]
    np.testing.assert_allclose(sample(built.out), want["samples"], rtol=0, atol=1e-8)
    assert built.out.mean() == pytest.approx(want["mean"], abs=1e-8)
    assert built.out.std() == pytest.approx(want["sd"], abs=1e-8)


def test_golden_full(built: Built) -> None:
    with np.load(full_folder() / f"{built.name}.npz") as arrays:
        want: dict[str, NDArray[Any]] = dict(arrays)
    np.testing.assert_allclose(built.out, want["out64_64x64"], rtol=0, atol=1e-8)
    if "out_96x80" in want:
        with torch.inference_mode():
            built.method.float()
        # These weights amplify rounding ten thousandfold.
        for name in ("direct", "spectral"):
            with torch.inference_mode(), algorithm(name):
                single = built.method.model(lkc_input(96, 80)).numpy()
            np.testing.assert_allclose(single, want["out_96x80"], rtol=0, atol=3e-2)


def _wave(phase: float, frequency: float) -> torch.Tensor:
    b, h, w = np.ogrid[:2, :48, :40]
    x = 0.5 + 0.5 * np.sin(frequency * (0.11 * h + 0.07 * w) + 0.5 * b + phase)
    return torch.from_numpy(x.astype(np.float32))[:, None].double()


@pytest.mark.parametrize("span", ["01", "-11"])
def test_golden_losses(span: str) -> None:
    a, b, fused = _wave(0, 1), _wave(2.0, 1.7), _wave(0.8, 1.3)
    if span == "-11":
        a, b, fused = 2 * a - 1, 2 * b - 1, 2 * fused - 1
    want = stored("losses")[span]["lkc"]
    got = fusion_loss(fused, a, b)
    names = {"total": "total", "intensity": "int", "ssim": "ssim_loss", "gradient": "grad"}
    for ours, theirs in names.items():
        # Ours runs in float64, theirs in float32, whose own error in SSIM is about 1e-6.
        assert got[ours].item() == pytest.approx(want[theirs], rel=2e-6), ours
    assert ssim(a, fused).item() == pytest.approx(want["ssim_AF"], abs=3e-6)
    assert ssim(b, fused).item() == pytest.approx(want["ssim_BF"], abs=3e-6)
