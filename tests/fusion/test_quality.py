"""The twelve metrics: published values, properties, what is undefined, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d
from torch import Tensor

from fusion.errors import InputError
from fusion.quality.reading import FusedPair, read_for_metrics, score_pairs
from fusion.quality.scoring import score, value_of, why_undefined
from fusion.quality.settings import METRICS, PAPER_METRICS
from fusion.quality.ssim import ssim_maps
from fusion.quality.triple import Triple

GOLDENS = Path(__file__).parent / "goldens" / "metrics.json"
SYNTHETIC: list[dict[str, Any]] = json.loads(GOLDENS.read_text(encoding="utf-8"))["synthetic"]
LOOSER = {"VIFF", "Qabf"}
Images = tuple[Tensor, Tensor, Tensor]
Array = NDArray[Any]


def golden_images(k: int) -> Images:
    """Return F, A, B of one synthetic case, each 1 x 96 x 112."""
    r, c = np.mgrid[:96, :112].astype(np.float64)
    sin, cos = np.sin, np.cos
    wave, disc = 0.5 + 0.5 * sin(0.5 * r), (r - 50) ** 2 + (c - 60) ** 2 < 900
    sources: list[tuple[Array, Array]] = [
        (127 + 100 * sin(0.05 * r + 0.03 * c), 120 + 90 * cos(0.04 * r - 0.06 * c)),
        (127 + 127 * sin(1.1 * r) * cos(0.9 * c), 127 + 60 * sin(0.31 * r * 0.7 + 0.2 * c)),
        (255.0 * ((r - 40) ** 2 + (c - 50) ** 2 < 400), 200 * disc * wave),
        (
            (7919 * r + 104729 * c + 31 * r * c) % 256,
            (15485863 * r + 32452843 * c + 17 * r * c) % 256,
        ),
        (127 + 100 * sin(0.2 * r) * sin(0.15 * c), 30 + 0.5 * c),
        (60 + 50 * sin(0.08 * r * c / 40), 2 * c),
    ]
    a, b = sources[k]
    higher = np.maximum(a, b)
    f = [0.5 * a + 0.5 * b, higher, higher, (a + 2 * b) / 3, a, 1.7 * higher - 10][k]
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(np.clip(np.floor(x + 0.5), 0, 255).astype(np.uint8))[None]
        for x in (f, a, b)
    )


def noise(batch: int, height: int, width: int, seed: int = 0) -> Images:
    """Return a smooth-free batch: two random sources and their rounded mean."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, batch, height, width), dtype=np.uint8)
    f = ((a.astype(int) + b) // 2).astype(np.uint8)
    return torch.from_numpy(f), torch.from_numpy(a), torch.from_numpy(b)


def same(value: float, golden: float | None, name: str) -> None:
    if golden is None:
        assert math.isnan(value), name
    else:
        tolerance = 1e-6 if name in LOOSER else 1e-9
        assert value == pytest.approx(golden, rel=tolerance, abs=0), name


def check_goldens(images: Images, golden: dict[str, Any]) -> None:
    """Compare with one entry of the goldens in both conventions."""
    released = {m: float(v[0]) for m, v in score(*images, convention="released").items()}
    paper = {m: float(v[0]) for m, v in score(*images).items()}
    single = golden["float32"]
    for name in METRICS:
        key = "SSIM_sum" if name == "SSIM" else name
        same(released[name], golden["float64"][key], name)
        if single[key] is not None:
            assert released[name] == pytest.approx(single[key], abs=1e-3 + 1e-6 * abs(single[key]))
        if name not in ("AG", "SF", "SSIM", "VIFF"):
            same(paper[name], golden["float64"][name], name)
    same(paper["AG"], single["AG_M1N1"], "AG")
    same(paper["SF"], single["SF_MN"], "SF")
    same(paper["VIFF"], golden["ours_unofficial"]["VIFF_han"], "VIFF")
    # The goldens' own border is another than the paper's; within it the maps are the same.
    cropped = [float(m[:, 5:-5, 5:-5].mean()) for m in ssim_maps(Triple(*images), "paper")]
    same(sum(cropped) / 2, golden["ours_unofficial"]["SSIM_gauss_crop_mean"], "SSIM")


@pytest.mark.parametrize("golden", SYNTHETIC, ids=lambda golden: f"k{golden['k']}")
def test_golden_synthetic(golden: dict[str, Any]) -> None:
    images = golden_images(golden["k"])
    assert [int(x.sum()) for x in images] == golden["sum"]
    assert [int(images[1][0, 3, 5]), int(images[1][0, 50, 60])] == golden["sample_A"]
    check_goldens(images, golden)


@pytest.mark.parametrize("group", ["medical", "msrs"])
def test_golden_real(group: str, data_home: Path) -> None:
    entries = json.loads((data_home / "goldens" / "metrics.json").read_text(encoding="utf-8"))
    with np.load(data_home / "goldens" / "metrics_images.npz") as arrays:
        for golden in entries[group]:
            f, a, b = (torch.from_numpy(arrays[key])[None] for key in golden["npz_keys"])
            check_goldens((f, a, b), golden)


def test_authors_images_score_in_the_range_of_their_table(data_home: Path) -> None:
    test = data_home / "data" / "msrs" / "test"
    names = sorted(p.name for p in (test / "fused_lkc_funet_authors").iterdir())[:4]
    pairs = [
        FusedPair(n, test / "fused_lkc_funet_authors" / n, test / "ir" / n, test / "vi" / n)
        for n in names
    ]
    scored = list(score_pairs(pairs, PAPER_METRICS))
    assert [one.name for one in scored] == names
    for one in scored:
        assert one.undefined == {}
        assert 10 < one.values["SD"] < 90
        assert 0.5 < one.values["SCD"] < 2
        assert 0.5 < one.values["VIFF"] < 1.3
        assert 0.3 < one.values["SSIM"] < 1


def test_ssim_of_the_paper_replicates_the_border() -> None:
    f, a, b = (x.double() for x in noise(1, 9, 14))
    g = np.exp(-(np.mgrid[-5:6] ** 2) / (2 * 1.5**2))
    window = np.outer(g, g) / np.outer(g, g).sum()

    def mean(x: Array) -> Array:
        return np.asarray(convolve2d(x, window, "valid"))

    def ssim(x: Array, y: Array) -> float:
        x, y = np.pad(x, 5, "edge"), np.pad(y, 5, "edge")
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        c1, c2 = 2.55**2, 7.65**2
        top = (2 * mx * my + c1) * (2 * cov + c2)
        return float((top / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())

    wanted = (ssim(a[0].numpy(), f[0].numpy()) + ssim(b[0].numpy(), f[0].numpy())) / 2
    assert float(score(f, a, b, ["SSIM"])["SSIM"][0]) == pytest.approx(wanted, rel=1e-12)


def test_identical_images_are_perfect() -> None:
    f, _, _ = noise(1, 64, 64)
    paper, released = score(f, f, f), score(f, f, f, convention="released")
    assert float(paper["SSIM"][0]) == pytest.approx(1)
    assert float(released["SSIM"][0]) == pytest.approx(2)
    assert float(paper["VIFF"][0]) == pytest.approx(1, abs=1e-6)
    assert float(released["VIFF"][0]) == pytest.approx(2, abs=1e-6)
    assert float(paper["CC"][0]) == pytest.approx(1)
    assert float(paper["MSE"][0]) == 0
    # A source tells all about itself: its entropy in nats, twice.
    assert float(paper["MI"][0]) == pytest.approx(2 * math.log(2) * float(paper["EN"][0]))
    assert math.isnan(float(paper["SCD"][0]))
    assert why_undefined("PSNR", f, f, f) == [
        "the fused image equals both sources, so there is no error"
    ]


def test_the_paper_counts_the_source_that_is_harder_to_see() -> None:
    f, a, b = noise(1, 64, 64)
    paper = float(score(a, a, b, ["VIFF"])["VIFF"][0])
    assert paper < 0.1 < float(score(f, a, b, ["VIFF"])["VIFF"][0])
    assert score(a, a, b, ["VIFF"], "released")["VIFF"][0] > 1


@pytest.mark.parametrize("level", [0, 77, 255])
def test_constant_images_have_no_correlation_and_say_why(level: int) -> None:
    _, a, b = noise(1, 48, 50)
    flat = torch.full_like(a, level)
    values = score(flat, a, b)
    assert {m for m, v in values.items() if v.isnan()} == ({"CC", "PSNR"} if level == 0 else {"CC"})
    assert why_undefined("CC", flat, a, b) == ["the fused image is constant"]
    assert [float(values[m][0]) for m in ("SD", "EN", "SF", "AG")] == [0, 0, 0, 0]
    assert float(values["MI"][0]) == pytest.approx(0, abs=1e-12)
    assert why_undefined("SCD", a, flat, b) == ["the infrared image is constant"]
    assert why_undefined("CC", a, b, flat) == ["the visible image is constant"]


def test_a_constant_difference_has_no_scd() -> None:
    _, a, b = noise(1, 20, 20)
    a = a.clamp(max=200)
    reason = "the fused image and the infrared one differ by a constant or not at all"
    assert why_undefined("SCD", a + 40, a, b) == [reason]
    assert score(a + 40, a, b, ["SCD"])["SCD"].isnan().all()


def test_black_images_say_why() -> None:
    f, a, _ = noise(1, 12, 12)
    black = torch.zeros_like(a)
    assert why_undefined("PSNR", black, a, a) == ["the fused image is black, so there is no peak"]
    reason = "both sources are black, so they have no edges"
    assert why_undefined("Qabf", f, black, black) == [reason]
    assert score(f, black, black, ["Qabf"])["Qabf"].isnan().all()
    assert why_undefined("Qabf", f, a, black) == [None]


def test_released_vif_of_a_flat_source_is_one() -> None:
    f, _, _ = noise(1, 48, 48)
    flat = torch.full_like(f, 90)
    assert float(score(f, flat, f, ["VIFF"], "released")["VIFF"][0]) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("convention", ["paper", "released"])
def test_nan_exactly_where_a_reason_is_given(convention: Any) -> None:
    _, a, b = noise(1, 44, 44)
    flat, black = torch.full_like(a, 9), torch.zeros_like(a)
    for images in ((a, a, a), (a, a, b), (flat, a, b), (black, black, black), (a, flat, b)):
        for metric, value in score(*images, convention=convention).items():
            (reason,) = why_undefined(metric, *images, convention)
            assert bool(value.isnan()) == (reason is not None), metric
            assert not value.isinf()


@pytest.mark.parametrize("convention", ["paper", "released"])
def test_batch_equals_single(convention: Any) -> None:
    batch = noise(5, 45, 53)
    batch[0][2] = 7
    together = score(*batch, convention=convention)
    for i in range(5):
        alone = score(*(x[i : i + 1] for x in batch), convention=convention)
        for metric in METRICS:
            torch.testing.assert_close(
                together[metric][i : i + 1], alone[metric], rtol=1e-12, atol=0, equal_nan=True
            )
    whole = Triple(*batch)
    assert whole.scatter.shape == (5, 3, 3)
    for metric in METRICS:
        at_once = value_of(metric, whole, convention)
        tolerance = 1e-6 if metric in LOOSER else 1e-12
        torch.testing.assert_close(
            at_once, together[metric], rtol=tolerance, atol=0, equal_nan=True
        )


def test_threads_change_nothing_and_are_put_back() -> None:
    batch = noise(3, 48, 41)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = score(*batch)
        torch.set_num_threads(2)
        two = score(*batch)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one[metric], two[metric]) for metric in METRICS)


@pytest.mark.parametrize("convention", ["paper", "released"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (6, 8), (7, 7), (40, 60), (41, 41)])
def test_tiny_and_odd_sizes(size: tuple[int, int], convention: Any) -> None:
    images = noise(1, *size, seed=3)
    values = score(*images, convention=convention)
    short = min(size)
    assert bool(values["VIFF"].isnan()) == (short < 41)
    assert bool(values["AG"].isnan()) == bool(values["SF"].isnan()) == (short < 2)
    assert bool(values["SSIM"].isnan()) == (convention == "released" and short < 7)
    if short < 41:
        assert why_undefined("VIFF", *images) == ["VIFF needs at least 41 x 41 pixels"]
    assert not any(value.isinf() for value in values.values())


def test_uint8_equals_float() -> None:
    images = noise(2, 44, 50)
    whole = score(*images)
    for dtype in (torch.float32, torch.float64):
        values = score(*(x.to(dtype) for x in images))
        assert all(torch.equal(values[m], whole[m]) for m in METRICS)
    assert all(v.dtype == torch.float64 and v.shape == (2,) for v in whole.values())


def test_an_empty_batch_has_no_values() -> None:
    empty = torch.zeros(0, 8, 8, dtype=torch.uint8)
    assert all(v.shape == (0,) for v in score(empty, empty, empty).values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("convention", ["paper", "released"])
def test_cuda_equals_cpu(convention: Any) -> None:
    images = noise(3, 64, 70)
    there = score(*(x.cuda() for x in images), convention=convention)
    for metric, value in score(*images, convention=convention).items():
        torch.testing.assert_close(there[metric].cpu(), value, rtol=1e-6, atol=0, equal_nan=True)


F8 = torch.zeros(1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ((F8, F8, F8[:, :7]), "visible batch has shape"),
        ((F8[0], F8[0], F8[0]), "three equal B x H x W batches"),
        ((F8[:, :0], F8[:, :0], F8[:, :0]), "three equal B x H x W batches"),
        ((F8, F8.long(), F8), "infrared batch is torch.int64"),
        ((F8.float() + 0.5, F8, F8), "multiply images in .0, 1. by 255"),
        ((F8.float() + 256, F8, F8), "not whole numbers from 0 to 255"),
        ((F8.float() - 1, F8, F8), "not whole numbers from 0 to 255"),
        ((F8.float() * torch.nan, F8, F8), "not whole numbers from 0 to 255"),
        ((F8, F8, F8.to("meta")), "on meta"),
    ],
)
def test_wrong_batches_are_refused(images: Images, said: str) -> None:
    with pytest.raises(InputError, match=said):
        score(*images)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match='Did you mean "VIFF"'):
        score(F8, F8, F8, ["VIF"])
    with pytest.raises(InputError, match='Did you mean "paper"'):
        score(F8, F8, F8, convention="papers")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no metric"):
        why_undefined("SDD", F8, F8, F8)


def write(path: Path, image: Array) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_colour_is_weighted_and_rounded_half_to_even(tmp_path: Path) -> None:
    # 0.299 R + 0.587 G + 0.114 B = 0.897, 2.935 and 118.951; OpenCV's decoder truncates.
    bgr = np.array([[[0, 0, 3], [0, 5, 0], [10, 200, 1]]], dtype=np.uint8)
    path = write(tmp_path / "colour.png", bgr)
    assert read_for_metrics(path).tolist() == [[1, 3, 119]]
    gray = np.arange(256, dtype=np.uint8)[None]
    assert (read_for_metrics(write(tmp_path / "gray.png", gray)) == gray).all()


def test_deep_and_broken_files_are_refused(tmp_path: Path) -> None:
    deep = write(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    real = write(tmp_path / "real.tiff", np.zeros((4, 4), np.float32))
    text = tmp_path / "text.png"
    text.write_text("no image", encoding="utf-8")
    for path, said in ((deep, "uint16"), (real, "float32"), (text, "cannot be read")):
        with pytest.raises(InputError, match=said):
            read_for_metrics(path)


def files(folder: Path, sizes: list[tuple[int, int]]) -> list[FusedPair]:
    pairs = []
    for i, size in enumerate(sizes):
        paths = [
            write(folder / f"{i}{kind}.png", image[0].numpy())
            for kind, image in zip("fab", noise(1, *size, seed=i), strict=True)
        ]
        pairs.append(FusedPair(f"scene {i}", *paths))
    return pairs


def test_score_pairs_equals_score_in_order_and_across_sizes(tmp_path: Path) -> None:
    sizes = [(20, 24)] * 5 + [(22, 21)] + [(20, 24)] * 2
    done: list[int] = []
    scored = list(
        score_pairs(files(tmp_path, sizes), ("SD", "VIFF", "CC"), batch=2, on_progress=done.append)
    )
    assert [one.name for one in scored] == [f"scene {i}" for i in range(8)]
    assert done == [2, 4, 5, 6, 8]
    for i, one in enumerate(scored):
        alone = score(*noise(1, *sizes[i], seed=i), ("SD", "VIFF", "CC"))
        assert one.values["SD"] == float(alone["SD"][0])
        assert one.values["CC"] == float(alone["CC"][0])
        assert one.undefined == {"VIFF": "VIFF needs at least 41 x 41 pixels"}


def test_score_pairs_reads_only_what_is_asked_for(tmp_path: Path) -> None:
    (pair,) = files(tmp_path, [(8, 8)])
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield pair

    stream = score_pairs(endless(), ("SD",), batch=2)
    for _ in range(10):
        next(stream)
    stream.close()
    assert taken <= 10 + 2 * 2 + 2


def test_score_pairs_refuses_differing_sizes_and_empty_batches(tmp_path: Path) -> None:
    one, two = files(tmp_path, [(8, 8), (8, 9)])
    mixed = FusedPair("mixed", one.fused, one.infrared, two.visible)
    with pytest.raises(InputError, match=r"0f.png is 8x8 but .*1b.png is 9x8"):
        list(score_pairs([mixed]))
    gone = one._replace(fused=tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"gone.png cannot be opened"):
        list(score_pairs([gone]))
    with pytest.raises(InputError, match="at least 1"):
        list(score_pairs([one], batch=0))
