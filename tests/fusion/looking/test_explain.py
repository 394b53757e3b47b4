"""Redundancy of feature maps: known answers, hooks that go away, and a picture that shows it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from torch import Tensor, nn

from fusion import load_method
from fusion.errors import InputError
from fusion.looking.explain import Explanation, Redundancy, explain, feature_layers, redundancy
from fusion.looking.explain_picture import describe, draw_explanation, require_png, spread
from fusion.method import FusionMethod
from fusion.pairs import Image, read_rgb, write_png
from pipelines.cli.app import main


class Branches(FusionMethod):
    """One layer for both sources, one at half the size, one that makes copies, one never run."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Tanh())
        self.down = nn.Conv2d(12, 8, 3, stride=2, padding=1)
        self.copies = nn.Conv2d(8, 3, 1)
        self.pooled = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Conv2d(8, 1, 1)
        self.idle = nn.Conv2d(8, 8, 1)
        with torch.no_grad():
            self.copies.weight[:] = (
                self.copies.weight[:1] * torch.tensor([1.0, -2, 5])[:, None, None, None]
            )

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        joined = torch.cat([self.shared(infrared), self.shared(visible)], dim=1)
        low = self.down(joined)
        self.copies(low)
        out = self.last(low + self.pooled(low)).sigmoid()
        size = infrared.shape[-2:]
        return nn.functional.interpolate(out, size=size, mode="nearest")


@pytest.fixture
def branches() -> Branches:
    torch.manual_seed(0)
    return Branches().eval()


@pytest.fixture
def pair() -> tuple[Image, Image]:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, 37, 52), np.uint8)
    return first, second


def by_hand(tile: np.ndarray) -> float:
    """The mean |correlation| of C x h x w, as numpy's corrcoef has it."""
    matrix = np.abs(np.corrcoef(tile.reshape(len(tile), -1)))
    return float(matrix[np.triu_indices(len(tile), 1)].mean())


def test_every_patch_is_the_mean_of_numpys_correlations() -> None:
    features = torch.randn(5, 19, 27, generator=torch.Generator().manual_seed(3), dtype=torch.float)
    features[1] += 2 * features[0]
    features += 100  # a large offset must not cost digits that show
    found = redundancy(features, 6)
    assert found.values.shape == found.varying.shape == (3, 4)
    assert (found.channels, found.shape, found.patch) == (5, (19, 27), 6)
    for (row, column), value in np.ndenumerate(found.values):
        tile = features[:, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6].double().numpy()
        assert value == pytest.approx(by_hand(tile), abs=2e-5)
    assert found.mean == pytest.approx(found.values.mean(), abs=1e-6)


def test_copies_are_one_and_constant_channels_do_not_count() -> None:
    base = torch.rand(8, 16, generator=torch.Generator().manual_seed(0))
    features = torch.stack([base, 3 - 2 * base, base + 7, torch.full_like(base, 5.0)])
    found = redundancy(features, 8)
    assert found.values == pytest.approx(np.ones((1, 2)), abs=1e-5)
    assert found.varying.tolist() == [[3, 3]]
    features[1:, :, 8:] = 0  # one channel alone: nothing to compare
    found = redundancy(features, 8)
    assert found.varying.tolist() == [[3, 1]]
    assert np.isnan(found.values).tolist() == [[False, True]]
    assert found.undefined == 1
    assert found.mean == pytest.approx(1, abs=1e-5)
    assert math.isnan(redundancy(torch.ones(4, 8, 8), 8).mean)


@pytest.mark.parametrize("patch", [2, 3, 8])
def test_noise_reaches_chance(patch: int) -> None:
    noise = torch.randn(12, 40 * patch, 40 * patch, generator=torch.Generator().manual_seed(patch))
    found = redundancy(noise, patch)
    assert found.mean == pytest.approx(found.chance, rel=0.01)


def test_orthogonal_channels_are_zero() -> None:
    x = torch.tensor([1.0, -1, 1, -1]).expand(4, 4)
    features = torch.stack([x, x.T, x * x.T])
    assert redundancy(features, 4).values.tolist() == [[0.0]]


def test_the_layers_in_the_order_they_run(branches: Branches) -> None:
    # not pooled: one position; not last: one channel; not idle: never run
    assert feature_layers(branches) == {
        "shared.0": 6, "shared.1": 6, "shared": 6, "down": 8, "copies": 3
    }  # fmt: skip


def test_explaining_a_pair(branches: Branches, pair: tuple[Image, Image]) -> None:
    found = explain(branches, *pair, ["copies", "shared", "copies"], patch=5)
    assert [(m.layer, m.run, m.runs) for m in found.maps] == [
        ("copies", 1, 1), ("shared", 1, 2), ("shared", 2, 2)
    ]  # fmt: skip
    copies, infrared, visible = found.maps
    assert copies.shape == (19, 26)
    assert copies.values == pytest.approx(np.ones((3, 5)), abs=1e-4)
    batch = [torch.from_numpy(image)[None, None].float() / 255 for image in pair]
    with torch.inference_mode():
        for one, image in zip((infrared, visible), batch, strict=True):
            expected = redundancy(branches.shared(image)[0], 5).values
            assert np.array_equal(one.values, expected)
        fused = (branches.fuse(*batch)[0, 0] * 255).round().numpy()
    assert np.array_equal(found.fused, fused)
    assert found.fused.dtype == np.uint8


def test_without_layers_the_outermost_are_shown(
    branches: Branches, pair: tuple[Image, Image]
) -> None:
    names = [found.layer for found in explain(branches, *pair, patch=4).maps]
    assert names == ["shared", "shared", "down", "copies"]


def test_four_layers_from_the_first_to_the_last(pair: tuple[Image, Image]) -> None:
    method = load_method("mmdrfuse", preset="teacher")
    names = [found.layer for found in explain(method, *pair, patch=4).maps]
    assert names[0] == "conv1"
    assert names[-1] == "conv00.0"  # conv00 itself makes one channel
    order = list(feature_layers(method))
    assert len(set(names)) == 4
    assert names == sorted(names, key=order.index)


def test_no_hook_is_left_behind(branches: Branches, pair: tuple[Image, Image]) -> None:
    explain(branches, *pair, ["down"], patch=4)
    with pytest.raises(InputError, match="less than one patch"):
        explain(branches, *pair, ["down"], patch=40)
    assert not any(module._forward_hooks for module in branches.modules())


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("dawn", '"dawn" is not in this network. Did you mean "down"\\? Available: copies, down'),
        ("", "is not in this network"),
        ("last", '"last" returns no feature maps of two or more channels'),
        ("pooled", "returns no feature maps"),
        ("idle", "returns no feature maps"),
    ],
)
def test_a_wrong_layer_is_answered_with_the_right_ones(
    branches: Branches, pair: tuple[Image, Image], layer: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        explain(branches, *pair, [layer], patch=4)


def test_a_long_list_of_layers_is_cut_but_keeps_the_nearest(pair: tuple[Image, Image]) -> None:
    method = load_method("lkc_funet", preset="tiny")
    nearest = "model.downs.7.res_block.pw1.conv"
    with pytest.raises(InputError, match=f'Did you mean "{nearest}"') as error:
        explain(method, *pair, [nearest + "s"])
    assert "more within these.)" in str(error.value)
    assert len(str(error.value)) < 2000


def test_what_cannot_be_explained(branches: Branches, pair: tuple[Image, Image]) -> None:
    for layers in ((), ("x",)):
        with pytest.raises(InputError, match="Average has no layer that returns feature maps"):
            explain(load_method("average"), *pair, layers)
    with pytest.raises(InputError, match="patch is 1"):
        explain(branches, *pair, patch=1)
    with pytest.raises(InputError, match='"down" are 26x19, less than one patch of 20x20'):
        explain(branches, *pair, ["down"], patch=20)


def test_patches_are_spread_over_the_image() -> None:
    features = torch.rand(3, 10, 12, generator=torch.Generator().manual_seed(0))
    found = redundancy(features, 5, "x")
    heat = spread(found, np.zeros((20, 24), np.uint8))
    assert heat.shape == (20, 24)
    assert np.unique(heat[:10, :10]).tolist() == [found.values[0, 0]]
    assert np.unique(heat[10:, 10:20]).tolist() == [found.values[1, 1]]
    assert np.isnan(heat[:, 20:]).all()  # the last two columns fill no patch
    assert not np.isnan(heat[:, :20]).any()


def test_a_layer_in_one_line(branches: Branches, pair: tuple[Image, Image]) -> None:
    found = explain(branches, *pair, ["shared", "down"], patch=4).maps
    assert describe(found[1]).startswith("shared (run 2 of 2): 6 channels, 52x37, mean 0.")
    assert describe(found[2]).startswith("down: 8 channels, 26x19, mean 0.")
    assert describe(redundancy(torch.ones(2, 4, 4), 4, "flat")).endswith("4x4, undefined")


def test_the_picture_shows_the_heat(tmp_path: Path) -> None:
    values = np.array([[np.nan, 0.0], [1.0, 0.5]], np.float32)
    found = Redundancy("x", 3, (16, 16), 8, values, np.full((2, 2), 3))
    path = tmp_path / "new" / "one.png"
    draw_explanation(Explanation(np.zeros((40, 40), np.uint8), (found,)), "title", path)
    picture = read_rgb(path).astype(float)
    # The colour map's own colours, three parts to one over the faint black of the fused image.
    for colour in ((0.75, 0.75, 0.75), *(colormaps["viridis"](v)[:3] for v in (0.0, 0.5, 1.0))):
        expected = 255 * (0.75 * np.array(colour) + 0.25 / 3)
        share = (np.abs(picture - expected).max(axis=2) < 4).mean()
        assert 0.05 < share < 0.25
    assert not list(path.parent.glob("*.part"))
    before = path.read_bytes()
    draw_explanation(Explanation(np.zeros((40, 40), np.uint8), (found,)), "title", path)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="must be a PNG"):
        require_png(tmp_path / "one.jpg")


@pytest.fixture
def files(tmp_path: Path, pair: tuple[Image, Image]) -> list[str]:
    for name, image in zip(("infrared", "visible"), pair, strict=True):
        write_png(tmp_path / f"{name}.png", image)
    return [
        "--infrared", str(tmp_path / "infrared.png"), "--visible", str(tmp_path / "visible.png")
    ]  # fmt: skip


def test_the_command(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    layers = ["--layer", "conv1", "conv3"]
    assert main(["explain", "mmdrfuse/teacher", *files, *layers, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["conv1", "conv3", str(out)]
    assert "32 channels, 52x38" in said.out
    assert "its weights are random" in said.err
    assert read_rgb(out).shape[2] == 3
    again = tmp_path / "again.png"
    assert main(["explain", "mmdrfuse/teacher", *files, *layers, "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()


def test_the_command_names_its_picture(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "mmdrfuse/student", *files]) == 0
    assert (tmp_path / "explain-mmdrfuse-student.png").is_file()


def test_wrong_commands(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "visible.png", np.zeros((9, 9), np.uint8))
    assert main(["explain", "mmdrfuse", *files]) == 2
    assert "a pair must be aligned and of one size" in capsys.readouterr().err
    assert main(["explain", "mmdrfuse", *files, "--out", "x.jpg"]) == 2
    assert "must be a PNG" in capsys.readouterr().err
    assert main(["explain", "mmdrfus", *files]) == 2
    assert 'Did you mean "mmdrfuse"?' in capsys.readouterr().err


def test_a_published_network_on_a_real_pair(data_home: Path) -> None:
    weights, folder = data_home / "weights" / "fusion", data_home / "data" / "msrs" / "test"
    method = load_method("ifcnn", weights / "IFCNN-MAX.pth")
    name = sorted(path.name for path in (folder / "ir").iterdir())[0]
    crop = [read_rgb(folder / part / name)[:96, :128, 0].copy() for part in ("ir", "vi")]
    found = explain(method, crop[0], crop[1], ["conv1", "conv4"])
    # conv4 makes a gray image of three channels; conv1's filters were trained to differ
    assert found.maps[2].mean > 0.9 > 0.6 > found.maps[0].mean > found.maps[0].chance
