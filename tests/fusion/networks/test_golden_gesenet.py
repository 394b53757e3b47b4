"""Our GeSeNet against the outputs of the authors' module, and its parameters."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_colour import luminance, recoloured
from golden_tools import check_arrays, check_keys, fill, stored, zoo_colour, zoo_input
from torch import Tensor

from fusion.errors import InputError
from fusion.layers.framing import stretch
from fusion.methods.gesenet import GeSeNet, Masks
from fusion.networks.gesenet import Uniforms, class_probabilities
from fusion.pairs import read_gray
from fusion.registry import load_method, method_class, resolve_params

SIZES = [(64, 64), (96, 80)]


def filled(**params: object) -> GeSeNet:
    method = GeSeNet(**params).eval()
    fill(method, stored("gesenet")["fill"])
    return method


def reference_uniforms(branch: str, height: int, width: int) -> Uniforms:
    shapes = {"spa_mask": (1, 2, height, width), "ch_mask": (1, 32, 4, 2)}
    made = []
    for name, shape in shapes.items():
        c = zlib.crc32(f"{branch}_rmm.{name}".encode()) % 1000
        wave = 0.5 + 0.45 * np.sin(0.37 * np.arange(np.prod(shape)) + 1.7 * c)
        made.append(torch.from_numpy(wave.reshape(shape).astype(np.float32)))
    return Uniforms(*made)


def test_golden_keys() -> None:
    check_keys("gesenet", GeSeNet())


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("masks", ["soft", "hard"])
def test_golden_masks(masks: Masks, height: int, width: int) -> None:
    fused = filled(masks=masks).fuse(*zoo_input(height, width))
    check_arrays("gesenet", {f"out_{masks}_{height}x{width}": fused}, 1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_golden_noise(height: int, width: int) -> None:
    uniforms = [reference_uniforms(branch, height, width) for branch in ("vis", "inf")]
    with torch.inference_mode():
        fused = filled(masks="noise").run(*zoo_input(height, width), *uniforms)
    check_arrays("gesenet", {f"out_noise_{height}x{width}": fused}, 1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_golden_colour(height: int, width: int) -> None:
    rgb, size = zoo_colour(height, width), f"{height}x{width}"
    coloured = recoloured(filled().fuse(zoo_input(height, width)[0], luminance(rgb)), rgb)
    final = stretch(coloured)
    got = {f"rgb_clamped_soft_{size}": coloured, f"rgb_final_soft_{size}": final}
    check_arrays("gesenet", got, 1e-4)


def test_noise_follows_its_seed_alone() -> None:
    pair = zoo_input(32, 48)
    first, again, other = (filled(masks="noise", seed=s).fuse(*pair) for s in (0, 0, 1))
    torch.manual_seed(5)
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-3


def test_noise_is_drawn_in_the_authors_order() -> None:
    pair, method = zoo_input(32, 48), filled(masks="noise", seed=7)
    torch.manual_seed(7)
    shapes = ((1, 2, 32, 48), (1, 32, 4, 2)) * 2
    drawn = [torch.rand(shape) for shape in shapes]
    with torch.inference_mode():
        want = method.run(*pair, Uniforms(*drawn[:2]), Uniforms(*drawn[2:]))
    assert torch.equal(method.fuse(*pair), want)


def test_a_batch_shares_its_noise() -> None:
    infrared, visible = zoo_input(33, 47, batch=3)
    method = filled(masks="noise", stretch=True)
    alone = [method.fuse(infrared[i : i + 1], visible[i : i + 1]) for i in range(3)]
    assert torch.allclose(method.fuse(infrared, visible), torch.cat(alone), atol=1e-5)


def test_random_masks_have_the_right_frequencies() -> None:
    # The larger entry of logits plus Gumbel noise is class 1 with the softmax's probability.
    logits = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 300, 300)
    uniform = torch.rand(1, 2, 300, 300, generator=torch.Generator().manual_seed(0))
    drawn = class_probabilities(logits, uniform, 1)[:, 1] > 0.5
    assert drawn.double().mean().item() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.01)


def test_a_zero_draw_is_finite() -> None:
    got = class_probabilities(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1), 1)
    assert torch.equal(got, torch.full((1, 2, 1, 1), 0.5))


def test_stretch_spans_the_range_and_official_draws() -> None:
    fused, pair = filled().fuse(*zoo_input(32, 48)), zoo_input(32, 48)
    wide = filled(stretch=True).fuse(*pair)
    assert (wide.min(), wide.max()) == (0, 1)
    low, high = fused.min(), fused.max()
    assert torch.allclose(wide, (fused - low) / (high - low), atol=1e-6)
    official = resolve_params("gesenet", method_class("gesenet"), "official", {})
    assert official == {"masks": "noise", "stretch": True}


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (5, 2), (33, 47)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    fused = filled().fuse(*zoo_input(*size))
    assert fused.shape == (1, 1, *size)
    assert bool(fused.isfinite().all())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"masks": "gumbel"}, 'masks is \'gumbel\', but must be "soft" or "hard" or "noise"'),
        ({"masks": True}, "masks is True"),
        ({"stretch": 1}, "stretch is 1, but must be true or false"),
        ({"seed": -1}, "seed is -1, but must be a whole number"),
        ({"seed": 2**63}, "but must be a whole number"),
        ({"seed": True}, "seed is True"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"gesenet: {said}") if "is" in said else said):
        GeSeNet(**params)


def test_golden_checkpoint_fuses_a_real_pair(data_home: Path) -> None:
    folder = data_home / "data/harvard/test/CT-MRI"
    name = min(path.name for path in (folder / "CT").iterdir())
    pair = [_read(folder / kind / name) for kind in ("MRI", "CT")]
    checkpoint = data_home / "weights/fusion/GeSeNet.pth"
    soft, noise = (
        load_method("gesenet", checkpoint, masks=masks).fuse(*pair) for masks in ("soft", "noise")
    )
    assert soft.std() > 0.1
    for source in pair:
        assert torch.corrcoef(torch.stack([soft.flatten(), source.flatten()]))[0, 1] > 0.3
    # What other random masks change, as measured with the authors' code.
    assert 1e-4 < (soft - noise).abs().mean() < 2e-3


def _read(path: Path) -> Tensor:
    return torch.from_numpy(read_gray(path)).float()[None, None] / 255
