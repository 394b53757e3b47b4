"""Our DM-FNet and its loss against the outputs of the authors' modules."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_tools import check_arrays, check_keys, fill, stored
from torch import Tensor
from torch.nn import functional

from fusion import load_method
from fusion.errors import InputError
from fusion.methods.dm_fnet import DMFNet
from fusion.networks.dm_fnet.diffusion import STEPS, betas, draw, level_after, levels, noised
from fusion.networks.dm_fnet.head import PixelAttention, StepBlock
from fusion.networks.dm_fnet.loss import dm_loss, selective_contrast
from fusion.networks.dm_fnet.unet import DenoisingUNet

UNET, HEAD, STEP = 5e-5, 1e-4, (5, 10, 20)
SUMMARY = 16
DEPTHS = {2: 0, 5: 1, 8: 2, 11: 3, 14: 4}
"""The decoder's kept outputs, by their published number: how often the image was halved."""


@pytest.fixture(scope="module")
def method() -> DMFNet:
    made = DMFNet().eval()
    fill(made.unet)
    fill(made.head, [{"match": "", "scale": 0.15}])
    return made


def wave(height: int, width: int, phase: float, channels: int = 1) -> Tensor:
    c, h, w = np.ogrid[:channels, :height, :width]
    x = 0.5 + 0.5 * np.sin(0.11 * h + 0.07 * w + 1.3 * c + phase)
    return torch.from_numpy(x.astype(np.float32))[None]


def summary(maps: Tensor) -> Tensor:
    flat = maps.double().flatten()
    taken = flat[np.linspace(0, flat.numel() - 1, SUMMARY).astype(int)]
    return torch.cat([torch.stack([flat.mean(), flat.std(False), flat.abs().max()]), taken])


def synthetic(height: int, width: int, phase: float) -> list[list[Tensor]]:
    """The head's reference features of one image: for each step, coarse to fine."""
    return [
        [
            wave(height >> n, width >> n, phase + 0.9 * t + 0.2 * s, 256 if n == 4 else 128)
            for s, n in reversed(DEPTHS.items())
        ]
        for t in range(3)
    ]


def test_golden_keys(method: DMFNet) -> None:
    check_keys("dm_unet", method.unet)
    check_keys("dm_head", method.head)
    counts = [sum(p.numel() for p in part.parameters()) for part in (method.unet, method.head)]
    assert counts == [20_670_081, 3_026_640]


def test_golden_unet(method: DMFNet) -> None:
    image, level = 2 * wave(64, 64, 0) - 1, torch.tensor([[0.9]])
    with torch.inference_mode():
        got = {"out_64x64_g0.9": method.unet(image, level)}
        got["out_96x80_g0.999"] = method.unet(2 * wave(96, 80, 0) - 1, torch.tensor([[0.999]]))
        check_arrays("dm_unet", got, 1e-5)
        found = method.unet.features(image, level)
    sums = {f"fd{n}_sum": summary(x) for n, x in zip(reversed(DEPTHS), found, strict=True)}
    check_arrays("dm_unet", {"fd14": found[0], **sums}, UNET)


def test_golden_head(method: DMFNet) -> None:
    with torch.inference_mode():
        for height, width in ((64, 64), (96, 80)):
            out = method.head(synthetic(height, width, 0.0), synthetic(height, width, 2.0))
            check_arrays("dm_head", {f"out_{height}x{width}": out}, HEAD)


def test_golden_float64(method: DMFNet) -> None:
    precise = deepcopy(method).double()
    with torch.inference_mode():
        image = (2 * wave(64, 64, 0) - 1).double()
        out = precise.unet(image, torch.full((1, 1), 0.9, dtype=torch.float64))
        check_arrays("dm_unet", {"out64_64x64_g0.9": out}, 1e-8)
        waves = [synthetic(64, 64, phase) for phase in (0.0, 2.0)]
        pair = [[[maps.double() for maps in step] for step in image] for image in waves]
        check_arrays("dm_head", {"out64_64x64": precise.head(*pair)}, 1e-8)


def test_golden_pipeline(method: DMFNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reference's noise in the place of drawn noise, the method itself."""

    def drawn(like: Tensor, steps: Tensor, schedule: str, _source: object) -> tuple[Tensor, Tensor]:
        noise = 2 * wave(64, 64, 0.7 * STEP.index(int(steps))) - 1
        return level_after(steps, schedule).to(like).expand(len(like), 1), noise.expand_as(like)

    monkeypatch.setattr("fusion.methods.dm_fnet.draw", drawn)
    with torch.inference_mode():
        fused = 2 * method(wave(64, 64, 0), wave(64, 64, 2.0)) - 1
    check_arrays("dm_pipeline", {"out_64x64": fused}, HEAD)


def test_golden_schedules() -> None:
    got = {}
    for name in ("linear", "cosine"):
        got[f"sqrt_acp_{name}"] = levels(name)[list(STEP)]
        got[f"betas_{name}_head"] = betas(name)[:25]
        got[f"alphas_cumprod_{name}_last"] = levels(name)[-1:] ** 2
    got["betas_cosine_tail"] = betas("cosine")[-5:]
    check_arrays("dm_pipeline", {key: torch.from_numpy(value) for key, value in got.items()}, 1e-8)


@pytest.mark.parametrize("scale", ["01", "-11"])
def test_golden_loss(scale: str) -> None:
    b, h, w = np.ogrid[:2, :48, :40]
    waves = []
    for phase, f in ((0.8, 1.3), (0.0, 1.0), (2.0, 1.7)):
        x = (0.5 + 0.5 * np.sin(f * (0.11 * h + 0.07 * w) + 0.5 * b + phase)).astype(np.float32)
        waves.append(torch.from_numpy(x if scale == "01" else 2 * x - 1)[:, None])
    want, got = stored("losses")[scale]["dm"], dm_loss(*waves)
    assert got["intensity"].item() == pytest.approx(want["loss_in"], abs=1e-5)
    edges = (got["gradient"] + got["contrast"]).item()
    assert edges == pytest.approx(want["loss_grad"], abs=1e-5)
    assert selective_contrast(*waves).item() == pytest.approx(want["ssim_sel"], abs=1e-5)
    assert got["total"] == got["intensity"] + got["gradient"] + got["contrast"]


def test_pixel_attention_is_the_interleaved_grouped_convolution() -> None:
    torch.manual_seed(0)
    attention, x = PixelAttention(6).double(), torch.randn(2, 6, 9, 7).double()
    channel, pixel = torch.randn(2, 6, 1, 1).double(), torch.randn(2, 1, 9, 7).double()
    turns = torch.stack([x, channel + pixel], dim=2).flatten(1, 2)
    around = functional.pad(turns, (1, 1, 1, 1), mode="reflect")
    layer = attention.pa2
    want = functional.conv2d(around, layer.weight, layer.bias, groups=6).sigmoid()
    assert torch.allclose(attention(x, channel, pixel), want, atol=1e-12)


def test_a_step_block_is_a_convolution_of_all_levels_together() -> None:
    torch.manual_seed(0)
    block, maps = StepBlock(6, 3).double(), torch.randn(3, 2, 6, 9, 7).double()
    want = block.block(torch.cat(list(maps), dim=1))
    assert torch.allclose(block(list(maps)), want, atol=1e-12)


def test_features_are_those_of_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving the last two blocks out changes nothing that is kept."""
    torch.manual_seed(0)
    unet = DenoisingUNet(8, 4, 0.0).eval()
    x, level = torch.randn(2, 1, 32, 48), torch.tensor([[0.9], [0.5]])
    with torch.inference_mode():
        every = list(unet._decoded(x, level))
        found = unet.features(x, level)
    assert len(every) == 15
    for kept, maps in zip(every[::3], found, strict=True):
        assert torch.equal(kept, maps)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_levels_are_drawn_between_neighbours(schedule: str) -> None:
    like = torch.zeros(4000, 1, 1, 1, dtype=torch.float64)
    steps = torch.full((1, 1), 20)
    level, noise = draw(like, steps, schedule, torch.Generator().manual_seed(0))
    more, less = levels(schedule)[19], levels(schedule)[20]
    place = (level - less) / (more - less)
    assert 0 <= place.min() < 0.01
    assert 0.99 < place.max() <= 1
    assert abs(float(place.mean()) - 0.5) < 0.03
    assert abs(float(noise.mean())) < 0.06
    assert abs(float(noise.std()) - 1) < 0.06
    assert torch.equal(noised(like + 1, level, noise * 0)[:, 0, :, 0], level)


def test_no_level_is_beyond_the_schedule() -> None:
    assert levels("linear")[0] == levels("cosine")[0] == 1
    assert len(levels("linear")) == len(levels("cosine")) == STEPS + 1
    assert (np.diff(levels("cosine")) < 0).all()


def tiny(**params: object) -> DMFNet:
    torch.manual_seed(0)
    return DMFNet(**{**DMFNet.presets["tiny"], **params}).eval()


def test_the_noise_belongs_to_the_parameters() -> None:
    pair = wave(50, 70, 0), wave(50, 70, 2.0)
    seeded = tiny().fuse(*pair)
    torch.manual_seed(5)
    assert torch.equal(tiny().fuse(*pair), seeded)
    other, none = tiny(noise_seed=1).fuse(*pair), tiny(noise="none").fuse(*pair)
    assert not torch.equal(other, seeded)
    assert not torch.equal(none, seeded)
    assert torch.equal(tiny(noise="none", noise_seed=1).fuse(*pair), none)


def test_the_first_image_is_the_infrared_one() -> None:
    first, second = wave(64, 64, 0), wave(64, 64, 2.0)
    assert not torch.equal(tiny().fuse(first, second), tiny().fuse(second, first))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"width": 10}, r"width is 10, but must be even and a multiple of groups \(4\)"),
        ({"width": 0}, "width is 0; give a whole number from 2"),
        ({"groups": 2.0}, "groups is 2.0"),
        ({"dropout": 1}, "dropout is 1; give a number from 0 to below 1"),
        ({"steps": ()}, r"steps is \(\); give a list of whole numbers from 1 to 2000"),
        ({"steps": [5, 2001]}, "whole numbers from 1 to 2000"),
        ({"steps": "5"}, "steps is '5'"),
        ({"schedule": "sine"}, 'schedule is \'sine\', but must be "linear" or "cosine"'),
        ({"noise": 0}, 'noise is 0, but must be "seeded" or "none"'),
        ({"noise_seed": -1}, "noise_seed is -1"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=f"dm_fnet: .*{said}"):
        tiny(**params)


def test_the_authors_two_files_load_from_their_folder(tmp_path: Path) -> None:
    made = tiny()
    torch.save(made.unet.state_dict(), tmp_path / "unet.pth")
    with pytest.raises(InputError, match=r"lacks head\.pth"):
        load_method("dm_fnet", tmp_path, preset="tiny")
    torch.save(made.head.state_dict(), tmp_path / "head.pth")
    loaded = load_method("dm_fnet", tmp_path, preset="tiny").state_dict()
    assert loaded.keys() == made.state_dict().keys()
    assert all(torch.equal(loaded[k], v) for k, v in made.state_dict().items())
    with pytest.raises(InputError, match=r"of another shape .*; give the folder that holds unet"):
        load_method("dm_fnet", tmp_path, preset="tiny", width=16)


def test_a_constant_pair_has_no_contrast_to_lose() -> None:
    flat = torch.full((1, 1, 32, 32), 0.3)
    inner = dm_loss(flat, flat, flat)
    assert inner["intensity"] == 0
    assert inner["gradient"] == 0
    assert inner["contrast"].isfinite()
