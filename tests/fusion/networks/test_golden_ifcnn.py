"""Our IFCNN against the outputs of the authors' module, its loss and its parameter."""

from pathlib import Path

import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored, zoo_input
from torch import Tensor

from fusion.errors import InputError
from fusion.methods.ifcnn import IFCNN, Scheme, _denormalised
from fusion.networks.ifcnn import defocus, multi_focus_pair
from fusion.pairs import read_gray
from fusion.registry import load_method


def filled(scheme: Scheme = "max") -> IFCNN:
    method = IFCNN(scheme=scheme).eval()
    fill(method, stored("ifcnn")["fill"])
    return method


def test_golden_keys() -> None:
    check_keys("ifcnn", IFCNN())


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 80)])
def test_golden_outputs(height: int, width: int) -> None:
    method, size, pair = filled(), f"{height}x{width}", zoo_input(height, width, batch=2)
    with torch.inference_mode():
        raw = method.raw(*pair)
    colour = _denormalised(raw)
    out = colour.clamp(0, 1)
    got = {f"raw_{size}": raw, f"denorm_{size}": colour, f"out_{size}": out}
    check_arrays("ifcnn", got, 1e-4)
    first, second, third = out.unbind(dim=1)
    gray = 0.114 * first + 0.587 * second + 0.299 * third
    assert torch.allclose(method.fuse(*pair)[:, 0], gray, atol=1e-6)


def test_inputs_are_interchangeable_and_any_number() -> None:
    method, (infrared, visible) = filled(), zoo_input(24, 32)
    assert torch.equal(method.fuse(infrared, visible), method.fuse(visible, infrared))
    with torch.inference_mode():
        twice, thrice = (method.raw(*[infrared] * n) for n in (2, 3))
        assert torch.equal(twice, method.raw(infrared))
        assert torch.equal(twice, thrice)


def test_schemes_join_as_named() -> None:
    features = [torch.tensor([1.0, -2.0]), torch.tensor([3.0, -4.0])]
    want: dict[Scheme, list[float]] = {"max": [3, -2], "sum": [4, -6], "mean": [2, -3]}
    for scheme, values in want.items():
        assert IFCNN(scheme=scheme)._join(features).tolist() == values


@pytest.mark.parametrize("value", ["min", None, 1])
def test_scheme_is_checked(value: object) -> None:
    with pytest.raises(InputError, match=r'ifcnn: scheme is .* "max" or "sum" or "mean"'):
        load_method("ifcnn", scheme=value)


def test_multi_focus_pairs_hold_every_pixel_sharp_once() -> None:
    sharp = torch.rand(5, 1, 33, 40, generator=torch.Generator().manual_seed(0))
    near, far = multi_focus_pair(sharp)
    blurred = defocus(sharp)
    assert torch.equal(near + far, sharp + blurred)
    share = (near == sharp).double().mean((1, 2, 3))
    assert bool(((share > 0.4) & (share < 0.6)).all())
    assert len(torch.unique((near == sharp).flatten(1), dim=0)) == 5, "every line has its angle"
    assert torch.allclose(defocus(torch.ones(1, 1, 9, 9)), torch.ones(1, 1, 9, 9))
    assert torch.equal(near, multi_focus_pair(sharp)[0])


def test_loss_compares_with_the_sharp_image() -> None:
    infrared, visible = zoo_input(32, 40, batch=2)
    method, sharp = filled(), torch.cat([infrared, visible])
    with torch.no_grad():
        got = method.loss(infrared, visible)
        restored = _denormalised(method.raw(*multi_focus_pair(sharp)))
    want = (restored - sharp.expand(-1, 3, -1, -1)).square().mean()
    assert torch.allclose(got["mse"], want)
    assert torch.equal(got["total"], got["mse"])


def test_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    method, pair = IFCNN().train(), zoo_input(32, 32, batch=2)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    totals = []
    for _ in range(20):
        loss = method.loss(*pair)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < 0.2 * totals[0]


def test_golden_checkpoint_fuses_a_real_pair(data_home: Path) -> None:
    folder = data_home / "data/msrs/test"
    name = min(path.name for path in (folder / "ir").glob("*D.png"))
    infrared, visible = (_read(folder / kind / name) for kind in ("ir", "vi"))
    method = load_method("ifcnn", data_home / "weights/fusion/IFCNN-MAX.pth")
    fused, larger = method.fuse(infrared, visible), torch.maximum(infrared, visible)
    assert torch.corrcoef(torch.stack([fused.flatten(), larger.flatten()]))[0, 1] > 0.8
    # The network restores an image that it is given twice.
    assert (method.fuse(visible, visible) - visible).abs().mean() < 0.02


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_gray(path)).float()[None, None, 120:360, 160:480] / 255
