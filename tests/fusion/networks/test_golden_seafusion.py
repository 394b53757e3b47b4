"""Our SeAFusion against the outputs of the authors' module, its loss and its parameter."""

from pathlib import Path

import pytest
import torch
from golden_colour import luminance, recoloured
from golden_tools import check_arrays, check_keys, fill, stored, zoo_colour, zoo_input
from torch import Tensor

from fusion.errors import InputError
from fusion.layers.framing import stretch
from fusion.losses import sobel
from fusion.methods.seafusion import SeAFusion
from fusion.pairs import read_gray
from fusion.registry import load_method, method_class, resolve_params

SIZES = [(64, 64), (96, 80)]


def filled(stretch: bool = False) -> SeAFusion:
    method = SeAFusion(stretch=stretch).eval()
    fill(method, stored("seafusion")["fill"])
    return method


def test_golden_keys() -> None:
    check_keys("seafusion", SeAFusion())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_golden_outputs(height: int, width: int) -> None:
    fused = filled().fuse(*zoo_input(height, width, batch=2))
    check_arrays("seafusion", {f"out_{height}x{width}": fused}, 1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_golden_colour(height: int, width: int) -> None:
    rgb, size = zoo_colour(height, width), f"{height}x{width}"
    coloured = recoloured(filled().fuse(zoo_input(height, width)[0], luminance(rgb)), rgb)
    got = {f"rgb_clamped_{size}": coloured, f"rgb_final_{size}": stretch(coloured)}
    check_arrays("seafusion", got, 1e-4)


def test_training_mode_makes_no_difference() -> None:
    pair = zoo_input(32, 48)
    with torch.no_grad():
        assert torch.equal(filled().train()(*pair), filled()(*pair))


def test_the_trained_gradients_begin_as_sobel() -> None:
    image, method = zoo_input(20, 30)[1], SeAFusion()
    with torch.no_grad():
        got = method.vis_rgbd1.sobelconv(image.expand(1, 16, 20, 30))
    assert torch.allclose(got, sobel(image).expand_as(got), atol=1e-6)


def test_stretch_is_per_image_and_equals_the_official_one_on_gray() -> None:
    infrared, visible = zoo_input(32, 48, batch=2)
    infrared[1] *= 0.1
    visible[1] *= 0.1
    plain, wide = (filled(s).fuse(infrared, visible) for s in (False, True))
    for before, after in zip(plain, wide, strict=True):
        colour = recoloured(before[None], visible[:1].expand(1, 3, -1, -1))
        assert torch.allclose(after[None], stretch(colour)[:, :1], atol=1e-5)
        assert (after.min(), after.max()) == (0, 1)
    params = resolve_params("seafusion", method_class("seafusion"), "official", {})
    assert params == {"stretch": True}


def test_loss_is_what_it_says() -> None:
    infrared, visible = zoo_input(32, 40, batch=2)
    with torch.no_grad():
        got, fused = filled().loss(infrared, visible), filled()(infrared, visible)
    intensity = (fused - torch.maximum(infrared, visible)).abs().mean()
    edges = torch.maximum(sobel(infrared), sobel(visible))
    gradient = (sobel(fused) - edges).abs().mean()
    assert torch.allclose(got["intensity"], intensity)
    assert torch.allclose(got["gradient"], gradient)
    assert torch.allclose(got["total"], intensity + 10 * gradient)


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    method, pair = SeAFusion().train(), zoo_input(32, 32, batch=2)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    totals = []
    for _ in range(30):
        loss = method.loss(*pair)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < 0.5 * totals[0]


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_stretch_is_checked(value: object) -> None:
    with pytest.raises(InputError, match=r"seafusion: stretch is .* must be true or false"):
        load_method("seafusion", stretch=value)


def test_golden_checkpoint_fuses_a_real_pair(data_home: Path) -> None:
    folder = data_home / "data/msrs/test"
    name = min(path.name for path in (folder / "ir").glob("*D.png"))
    infrared, visible = (_read(folder / kind / name) for kind in ("ir", "vi"))
    fused = load_method("seafusion", data_home / "weights/fusion/SeAFusion.pth").fuse(
        infrared, visible
    )
    # The published loss pulls towards the larger of both.
    assert (fused - torch.maximum(infrared, visible)).abs().mean() < 0.05
    assert fused.std() > 0.03


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_gray(path)).float()[None, None, 120:360, 160:480] / 255
