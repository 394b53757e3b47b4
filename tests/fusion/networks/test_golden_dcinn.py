"""Our DCINN against the outputs of the authors' module, and its parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored, zoo_input
from torch import Tensor

from fusion import build_method
from fusion.errors import InputError
from fusion.methods.dcinn import DCINN, _blur
from fusion.networks.dcinn import Haar, exponential


def filled(**params: Any) -> DCINN:
    method = DCINN(**params).eval()
    fill(method, stored("dcinn")["fill"])
    return method


def raw(method: DCINN, infrared: Tensor, visible: Tensor) -> Tensor:
    with torch.inference_mode():
        out: Tensor = method(infrared, visible)
    return out


def test_golden_keys() -> None:
    method = DCINN()
    check_keys("dcinn", method)
    assert sum(p.numel() for p in method.parameters()) == 2_519_942


@pytest.mark.parametrize("size", [(64, 64), (96, 80), (100, 85)])
def test_golden_outputs(size: tuple[int, int]) -> None:
    pair, name = zoo_input(*size, 2), f"{size[0]}x{size[1]}"
    keep = (..., slice(size[0] // 8 * 8), slice(size[1] // 8 * 8))
    tno, roadscene = (filled(border="crop", **DCINN.presets[p]) for p in ("tno", "roadscene"))
    got = {
        f"raw_{name}": raw(tno, *pair)[keep],
        f"out_{name}": tno.fuse(*pair)[keep],
        f"raw_mean_irvi_{name}": raw(roadscene, *pair)[keep],
    }
    check_arrays("dcinn", got, atol=5e-4)


def test_golden_borders() -> None:
    pair = zoo_input(37, 50)
    inside = tuple(image[..., :32, :48] for image in pair)
    crop, reflect = raw(filled(border="crop"), *pair), raw(filled(), *pair)
    assert torch.equal(crop[..., :32, :48], raw(filled(), *inside))
    assert torch.equal(crop[..., 36, :], crop[..., 31, :])
    assert torch.equal(crop[..., 49], crop[..., 47])
    extended = [torch.nn.functional.pad(image, (0, 6, 0, 3), mode="reflect") for image in pair]
    assert torch.equal(reflect, raw(filled(), *extended)[..., :37, :50])
    assert float((crop - reflect).abs().max()) > 0.1


def test_golden_batch_and_precision() -> None:
    method, pair = filled(), zoo_input(33, 46, 2)
    together = raw(method, *pair)
    alone = [raw(method, *(image[i : i + 1] for image in pair)) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5, rtol=0)
    precise = DCINN().double()
    precise.load_state_dict(method.state_dict())
    wide = raw(precise, *(image.double() for image in pair))
    assert torch.allclose(together.double(), wide, atol=1e-4, rtol=0)


def test_presets_are_the_published_settings() -> None:
    assert vars(build_method("dcinn", preset="tno"))["base"] == "max"
    roadscene = build_method("dcinn", preset="roadscene")
    assert (vars(roadscene)["first"], vars(roadscene)["base"]) == ("infrared", "mean")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("first", "mri", 'first is \'mri\', but must be "visible" or "infrared"'),
        ("base", "Max", 'base is \'Max\', but must be "max" or "mean"'),
        ("border", None, 'border is None, but must be "reflect" or "crop"'),
    ],
)
def test_parameters_are_checked(key: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_method("dcinn", **{key: value})


@pytest.mark.parametrize("border", ["reflect", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (1, 20), (9, 3), (17, 15)])
def test_tiny_images(size: tuple[int, int], border: str) -> None:
    fused = filled(border=border).fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize("channels", [1, 4])
def test_haar_levels_undo_themselves(channels: int) -> None:
    torch.manual_seed(0)
    level, x = Haar(channels).double(), torch.rand(2, channels, 6, 8, dtype=torch.float64)
    y = level.down(x)
    assert torch.allclose(level.up(y), x, atol=1e-12)
    assert torch.allclose(y[:, :channels], torch.nn.functional.avg_pool2d(x, 2), atol=1e-12)
    right = (x[..., ::2] - x[..., 1::2])[..., ::2, :] + (x[..., ::2] - x[..., 1::2])[..., 1::2, :]
    assert torch.allclose(y[:, channels : 2 * channels], right / 4, atol=1e-12)


def test_exponential_of_opposite_kernels_cancels() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 4, 9, 7, dtype=torch.float64)
    kernel = 0.02 * torch.randn(4, 4, 5, 5, dtype=torch.float64)
    there = exponential(x, kernel)
    assert float((there - x).abs().max()) > 0.05
    assert torch.allclose(exponential(there, -kernel), x, atol=1e-6)


def test_blur_keeps_the_mean_inside_and_darkens_the_border() -> None:
    blurred = _blur(torch.ones(1, 2, 20, 20, dtype=torch.float64))
    assert torch.allclose(blurred[..., 5:15, 5:15], torch.ones(1, dtype=torch.float64))
    assert float(blurred[0, 0, 0, 10]) == pytest.approx(0.6995, abs=1e-3)
    spot = torch.zeros(1, 1, 11, 11, dtype=torch.float64)
    spot[..., 5, 5] = 1
    ratio = _blur(spot)[0, 0, 5, 6] / _blur(spot)[0, 0, 5, 5]
    assert float(ratio) == pytest.approx(0.60653, abs=1e-4)
