"""Our network for MRI reconstruction against the outputs of its authors' module."""

import re

import numpy as np
import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored

from fusion.errors import InputError
from fusion.reconstruction.cmd.blocks import Consistency
from fusion.reconstruction.cmd.network import PRESETS, CmdNet, build
from fusion.reconstruction.cmd.unet import UNet
from fusion.reconstruction.kspace import Measurement, fourier, measure


def reference(height: int, width: int) -> Measurement:
    """Return the two coils' samples of the reference image, complex128."""
    h, w = np.ogrid[:height, :width]
    infrared = 0.5 + 0.5 * np.sin(0.11 * h + 0.07 * w)
    visible = 0.5 + 0.5 * np.sin(0.05 * h - 0.09 * w + 1.3)
    x = torch.from_numpy(visible * np.exp(0.3j * infrared))[None]
    maps = torch.tensor([0.8, 0.6j], dtype=torch.complex128).view(1, 2, 1, 1)
    columns = np.arange(width)
    taken = (columns % 4 == 0) | (columns < 4) | (columns >= width - 4)
    mask = torch.from_numpy(taken.astype(np.float64)).expand(height, width)
    return Measurement(mask * fourier(maps * x[:, None]), mask, maps)


def test_golden_keys() -> None:
    network = CmdNet()
    check_keys("mri_cmd", network)
    assert sum(p.numel() for p in network.parameters()) == 20_835_929


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 80)])
def test_golden_cascades(height: int, width: int) -> None:
    network = CmdNet().eval()
    fill(network, stored("mri_cmd")["fill"])
    measured = reference(height, width)
    with torch.inference_mode():
        made = network.double()(measured)
    size = f"{height}x{width}"
    got = {f"out{n}_{size}": torch.view_as_real(made.images[n]) for n in (0, 1, 4, 9)}
    got[f"x0_{size}"] = torch.view_as_real(measured.zero_filled)
    got[f"sloss0_{size}"] = made.errors[0]
    check_arrays("mri_cmd", got, 1e-6)


def image(height: int, width: int) -> torch.Tensor:
    lots = torch.Generator().manual_seed(0)
    return torch.randn(1, height, width, dtype=torch.complex128, generator=lots)


def test_sampling_and_its_adjoint_belong_together() -> None:
    measured = reference(33, 40)
    x, k = image(33, 40), image(66, 40).view(1, 2, 33, 40)
    there = torch.vdot(measured.forward(x).flatten(), k.flatten())
    back = torch.vdot(x.flatten(), measured.adjoint(k).flatten())
    assert abs(there - back) < 1e-10


def test_the_samples_are_put_back() -> None:
    consistent, x = Consistency().double(), image(32, 32)
    mask = (torch.arange(32) % 3 == 0).double().expand(32, 32)
    with torch.no_grad():
        consistent.noise_lvl.zero_()
        measured = measure(x, mask)
        other = consistent(torch.zeros_like(x), measured)
        assert torch.allclose(mask * fourier(other), measured.y[:, 0], atol=1e-12)
        whole = measure(x, torch.ones(32, 32))
        assert torch.allclose(consistent(torch.zeros_like(x), whole), x, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_every_parameter_learns_at_odd_sizes_too(size: tuple[int, int]) -> None:
    network = CmdNet(cascades=2, variational=2, correction=2, width=4)
    made = network(measure(image(*size).cfloat(), torch.ones(size)))
    assert made.image.shape == (1, *size)
    sum((x.abs().mean() for x in (*made.images, *made.errors)), torch.zeros(())).backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def test_presets_have_their_sizes() -> None:
    sizes = {name: sum(p.numel() for p in build(name).parameters()) for name in PRESETS}
    assert sizes == {"paper": 20_835_929, "small": 3_065_165, "tiny": 1_825_237}


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(InputError, match=re.escape("at least 32x32 pixels, and this one is 31x64")):
        CmdNet(cascades=1)(measure(image(64, 31).cfloat(), torch.ones(64, 31)))
    with pytest.raises(InputError, match="cmd: cascades is 0, but must be a whole number above 0"):
        CmdNet(cascades=0)
    with pytest.raises(InputError, match="mask is 40x32 and the image 32x32"):
        measure(image(32, 32), torch.ones(32, 40))


def test_a_unet_keeps_the_size() -> None:
    assert UNet(2)(torch.zeros(1, 2, 35, 50)).shape == (1, 2, 35, 50)
