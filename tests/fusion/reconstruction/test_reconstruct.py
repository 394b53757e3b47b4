"""Simulated scans, how near reconstructions come, and the training of the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.errors import InputError
from fusion.pairs import write_png
from fusion.reconstruction.cmd.loss import cmd_loss
from fusion.reconstruction.cmd.network import CmdNet
from fusion.reconstruction.masks import Sampling
from fusion.reconstruction.measures import measures, ssim
from fusion.reconstruction.reconstruct import reconstruct
from fusion.reconstruction.settings import ReconstructionTraining
from fusion.reconstruction.simulation import NOISE, acquire, lots_of, scan
from fusion.reconstruction.training import load_network, train_cmd

FOUR, EIGHT = Sampling("random", 4, 0.08), Sampling("random", 8, 0.04)


def head(seed: int = 0, side: int = 48) -> np.ndarray:
    """Return ellipses of different greys, as a slice through a head looks from afar."""
    lots = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = np.zeros((side, side))
    image[(x / 0.8) ** 2 + (y / 0.9) ** 2 < 1] = 0.4
    for _ in range(6):
        cy, cx, a, b = *lots.uniform(-0.5, 0.5, 2), *lots.uniform(0.05, 0.3, 2)
        image[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1] = lots.uniform(0.1, 1)
    return np.rint(255 * image).astype(np.uint8)


def test_a_scan_keeps_the_magnitudes() -> None:
    x, noise, mask = scan(head(), FOUR, lots_of("a"))
    assert np.abs(np.abs(x) - head() / 255).max() < 1e-6
    assert np.angle(x[head() > 0]).std() > 0.05
    assert noise.real.std() == pytest.approx(NOISE * head().max() / 255, rel=0.05)
    assert mask.mean() == pytest.approx(0.25)


def test_accelerations_differ_in_the_mask_alone() -> None:
    (x, noise, mask), (again, same, other) = (scan(head(), s, lots_of("a")) for s in (FOUR, EIGHT))
    assert (x == again).all()
    assert (noise == same).all()
    assert mask.sum() == 2 * other.sum()


def test_an_acquisition_is_normalised_and_can_be_undone() -> None:
    acquired = acquire([scan(head(n), FOUR, lots_of(str(n))) for n in range(2)])
    assert torch.allclose(acquired.measured.zero_filled.abs().amax((1, 2)), torch.ones(2))
    back = (acquired.target * acquired.scale).abs()
    assert torch.allclose(back[1], torch.from_numpy(head(1)).float() / 255, atol=1e-6)


def test_a_black_slice_stays_black() -> None:
    found = reconstruct(np.zeros((32, 32), np.uint8), "black", FOUR)
    assert not found.image.any()


def test_ssim_is_that_of_the_definition() -> None:
    a, b = (np.random.default_rng(n).random((9, 8)) for n in range(2))
    c1, c2 = (0.01 * b.max()) ** 2, (0.03 * b.max()) ** 2
    values = []
    for top in range(3):
        for left in range(2):
            p, q = (x[top : top + 7, left : left + 7].ravel() for x in (a, b))
            cov = np.cov(p, q)  # unbiased
            light = (2 * p.mean() * q.mean() + c1) / (p.mean() ** 2 + q.mean() ** 2 + c1)
            values.append(light * (2 * cov[0, 1] + c2) / (cov[0, 0] + cov[1, 1] + c2))
    found = ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None])
    assert found.item() == pytest.approx(np.mean(values), abs=1e-12)


def test_measures_are_those_of_the_definitions() -> None:
    truth, error = torch.rand(1, 16, 16), 0.1
    psnr, _, nmse = measures(truth + error, truth)[0].tolist()
    assert psnr == pytest.approx(20 * np.log10(float(truth.max()) / error), abs=1e-4)
    assert nmse == pytest.approx(error**2 * 256 / float(truth.square().sum()), rel=1e-5)
    same = measures(truth, truth)[0].tolist()
    assert same[1:] == pytest.approx([1, 0])


def test_less_is_taken_and_less_is_seen() -> None:
    four, eight = (reconstruct(head(), "a", sampling).measured for sampling in (FOUR, EIGHT))
    assert four[0] > eight[0]
    assert four[2] < eight[2]


def test_a_slice_smaller_than_the_windows_is_refused() -> None:
    with pytest.raises(InputError, match="tiny is 9x6, too small"):
        reconstruct(np.ones((6, 9), np.uint8), "tiny", Sampling("gaussian", 4, 0.08))


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    for n in range(3):
        write_png(tmp_path / f"{n}.png", head(n, side=40))
    return sorted(tmp_path.glob("*.png"))


SETTINGS = ReconstructionTraining(
    epochs=3, preset="tiny", batch_size=1, crop=32, checkpoint_minutes=0
)


def test_an_interrupted_training_ends_with_the_same_weights(
    slices: list[Path], tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Killed

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    given = (slices, slices[:1], (FOUR, EIGHT), SETTINGS)
    history = train_cmd(*given, whole, threads=1)
    with pytest.raises(Killed):
        train_cmd(*given, parts, threads=1, on_epoch=kill)
    assert not (parts / "weights.pt").exists()
    train_cmd(*given, parts, threads=1)
    assert (whole / "weights.pt").read_bytes() == (parts / "weights.pt").read_bytes()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert all(row["val_total"] > 0 for row in history)


def test_a_small_network_learns_one_slice() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CmdNet(cascades=2, variational=4, correction=2, width=8)
    acquired = acquire([scan(head(0, side=40), FOUR, lots_of("a"))])
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        loss = cmd_loss(network(acquired.measured), acquired.target)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        images = (acquired.measured.zero_filled, network(acquired.measured).image)
    zero, made = (measures(image.abs(), acquired.target.abs())[0, 0] for image in images)
    assert made > zero + 5


def test_a_trained_network_can_be_read_back(slices: list[Path], tmp_path: Path) -> None:
    train_cmd(slices, [], (FOUR,), SETTINGS.model_copy(update={"epochs": 1}), tmp_path, threads=1)
    network = load_network(tmp_path / "weights.pt")
    zero, made = (reconstruct(head(0, side=40), "a", FOUR, net).image for net in (None, network))
    assert (zero != made).any()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"crop": 64}, "is 40x40, smaller than the training crop of 64"),
        ({"batch_size": 8}, "fewer than one batch of 8"),
    ],
)
def test_slices_that_do_not_suit_are_refused(
    slices: list[Path], tmp_path: Path, given: dict[str, int], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        train_cmd(slices, [], (FOUR,), SETTINGS.model_copy(update=given), tmp_path)


def test_another_file_is_no_network(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="holds no reconstruction network"):
        load_network(tmp_path / "other.pt")
