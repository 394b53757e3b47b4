"""Fusing a folder: every pair, in order, exact pixels, colours, and errors from any thread."""

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fusion import load_method
from fusion.errors import InputError
from fusion.generation import device as device_module
from fusion.generation import folder as generation
from fusion.generation import items
from fusion.generation.batches import LOOK_AHEAD, batches
from fusion.generation.device import fuse_images
from fusion.generation.folder import FuseSummary, fuse_folder
from fusion.generation.threads import LIGHT
from fusion.looking.contact_sheet import contact_sheet
from fusion.method import FusionMethod
from fusion.pairs import (
    ImagePair,
    list_pairs,
    luminance,
    read_gray,
    read_rgb,
    write_png,
)

SIZES = [(12, 16), (12, 16), (12, 16), (9, 11), (12, 16), (12, 16)]


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    """Six pairs p0 to p5: gray infrared, coloured visible, p3 smaller, p5 gray in both."""
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
    for i, size in enumerate(SIZES):
        write_png(tmp_path / "ir" / f"p{i}.png", rng.integers(0, 256, size, dtype=np.uint8))
        shape = size if i == 5 else (*size, 3)
        write_png(tmp_path / "vi" / f"p{i}.png", rng.integers(0, 256, shape, dtype=np.uint8))
    return list_pairs(tmp_path / "ir", tmp_path / "vi")


def coloured(fused: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    ycrcb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    return cv2.cvtColor(np.dstack([fused, ycrcb[..., 1:]]), cv2.COLOR_YCrCb2RGB)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mean(pair: ImagePair) -> np.ndarray:
    """The 8-bit average, halves rounded to even: what `average` must write."""
    total = read_gray(pair.infrared).astype(np.int64) + read_gray(pair.visible)
    return np.round(total / 2).astype(np.uint8)


@pytest.mark.parametrize(("device", "flying"), [("cpu", 0), ("rehearse:0", 1)])
def test_on_an_accelerator_the_next_batch_is_launched_first(
    pairs: list[ImagePair],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    flying: int,
) -> None:
    events: list[str] = []
    launch, images = device_module.launch, device_module.Launched.images

    def launched(*given: Any) -> device_module.Launched:
        events.append("launch")
        return launch(*given)

    def arrived(batch: device_module.Launched) -> Any:
        events.append("arrive")
        return images(batch)

    monkeypatch.setattr(device_module, "launch", launched)
    monkeypatch.setattr(device_module.Launched, "images", arrived)
    fuse_folder(load_method("maximum"), pairs[:3], tmp_path / "out", device=device)
    once = ["launch", "arrive"]
    assert events == (["launch", *once, *once, "arrive"] if flying else once * 3)


@pytest.mark.parametrize(
    ("batch", "device"), [(1, "cpu"), (2, "cpu"), (4, "cpu"), (1, "rehearse:0"), (2, "rehearse:0")]
)
def test_every_pair_is_fused_and_coloured(
    pairs: list[ImagePair], tmp_path: Path, batch: int, device: str
) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "deep" / "out"
    summary = fuse_folder(
        load_method("maximum"),
        pairs,
        out,
        batch=batch,
        device=device,
        on_progress=lambda *a: seen.append(a),
    )
    assert isinstance(summary, FuseSummary)
    assert summary.count == 6
    assert 0 < summary.network_seconds < summary.seconds
    assert names(out) == [f"p{i}.png" for i in range(6)]
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)
    for pair in pairs:
        rgb = read_rgb(pair.visible)
        lum = np.maximum(read_gray(pair.infrared), luminance(rgb))
        want = coloured(lum, rgb) if pair.name != "p5" else np.dstack([lum] * 3)
        assert np.array_equal(read_rgb(out / f"{pair.name}.png"), want)


def test_luminance_is_rounded_half_to_even(pairs: list[ImagePair], tmp_path: Path) -> None:
    fuse_folder(load_method("average"), pairs, tmp_path / "out", gray=True)
    for pair in pairs:
        written = read_gray(tmp_path / "out" / f"{pair.name}.png").astype(int)
        half = (read_gray(pair.infrared).astype(int) + read_gray(pair.visible)) % 2 == 1
        assert np.array_equal(written[~half], mean(pair)[~half])
        assert np.abs(written - mean(pair)).max() <= 1  # float32 decides exact halves


class Halves(FusionMethod):
    """Returns (k + 0.5) / 255 exactly where float32 can, and values outside [0, 1]."""

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        fused = torch.zeros_like(infrared)
        fused.view(-1)[:4] = torch.tensor([0.5, -1.0, 2.0, 127.5 / 255])
        return fused


def test_values_are_clamped_then_rounded() -> None:
    image = np.zeros((1, 3, 4), np.uint8)
    fused = fuse_images(Halves(), image, image, torch.device("cpu"))
    # 0.5 * 255 = 127.5 lies between two grey levels: half to even gives 128.
    assert fused.reshape(-1)[:5].tolist() == [128, 0, 255, 128, 0]


def test_batches_hold_equal_sizes(pairs: list[ImagePair], tmp_path: Path) -> None:
    shapes: list[tuple[int, ...]] = []

    class Recording(FusionMethod):
        def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
            shapes.append(tuple(infrared.shape))
            assert threading.current_thread() is threading.main_thread()
            return visible

    fuse_folder(Recording(), pairs, tmp_path / "out", batch=2)
    # The smaller p3 waits for one of its size while p2 and p4 go together.
    assert shapes == [(2, 1, 12, 16), (2, 1, 12, 16), (1, 1, 9, 11), (1, 1, 12, 16)]


def test_alternating_sizes_share_batches_and_wait_only_a_little() -> None:
    items = [("a" if i % 2 else "b", i) for i in range(12)]
    groups = list(batches(iter(items), 3, lambda item: item[0]))
    assert [len(group) for group in groups] == [3, 3, 3, 3]
    assert all(len({key for key, _ in group}) == 1 for group in groups)
    taken: list[int] = []
    different = (taken.append(i) or i for i in range(100))
    lazily = batches(different, 3, lambda i: i)
    assert next(lazily) == [0]  # the one that has waited longest
    assert taken == list(range(LOOK_AHEAD * 3))
    assert [i for group in lazily for i in group] == list(range(1, 100))


def test_alternating_sizes_are_written_under_their_names(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    mixed = [pairs[i] for i in (0, 3, 1, 5, 2, 4)]
    for batch in (1, 3):
        fuse_folder(load_method("maximum"), mixed, tmp_path / str(batch), batch=batch)
    for name in names(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def old_pixels(pair: ImagePair) -> np.ndarray:
    """What `maximum` wrote before reading and colouring were made fast: RGB."""
    infrared, visible = (cv2.imread(str(path)) for path in (pair.infrared, pair.visible))
    rgb = cv2.cvtColor(visible, cv2.COLOR_BGR2RGB)
    first = cv2.cvtColor(infrared, cv2.COLOR_BGR2YCrCb)[..., 0]
    ycrcb = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    ycrcb[..., 0] = np.maximum(first, ycrcb[..., 0])
    if all(np.array_equal(rgb[..., 0], rgb[..., i]) for i in (1, 2)):
        return np.repeat(ycrcb[..., :1], 3, axis=2)
    return cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB)


def test_pixels_are_those_of_the_plain_conversions(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
    gray, colour = (rng.integers(0, 256, (37, 53, *c), dtype=np.uint8) for c in ((), (3,)))
    stored = {"gray": gray, "gray3": np.dstack([gray] * 3), "colour": colour}
    for first, infrared in stored.items():
        for second, visible in stored.items():
            write_png(tmp_path / "ir" / f"{first}-{second}.png", infrared)
            write_png(tmp_path / "vi" / f"{first}-{second}.png", visible[::-1].copy())
    pairs = list_pairs(tmp_path / "ir", tmp_path / "vi")
    fuse_folder(load_method("maximum"), pairs, tmp_path / "out")
    for pair in pairs:
        written = read_rgb(tmp_path / "out" / f"{pair.name}.png")
        assert np.array_equal(written, old_pixels(pair)), pair.name


def test_light_methods_run_on_one_thread_and_give_the_others_back(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    seen: list[int] = []

    class Counting(FusionMethod):
        def __init__(self, weights: int) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(weights))

        def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
            seen.append(torch.get_num_threads())
            assert cv2.getNumThreads() == 1
            return visible

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    try:
        for weights in (LIGHT - 1, LIGHT):
            fuse_folder(Counting(weights), pairs[:1], tmp_path / "out")
        assert seen == [1, 2]
        with pytest.raises(InputError):
            fuse_folder(Broken("nan"), pairs, tmp_path / "out")
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_half_precision_is_no_nan() -> None:
    class Half(FusionMethod):
        def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
            return torch.ones_like(visible, dtype=torch.float16)

    image = np.zeros((1, 300, 300), np.uint8)  # adds up to more than float16 holds
    fused = fuse_images(Half(), image, image, torch.device("cpu"))
    assert (fused == 255).all()


def test_gray_output_has_no_chroma(pairs: list[ImagePair], tmp_path: Path) -> None:
    for name in ("maximum", "visible", "infrared"):
        fuse_folder(load_method(name), pairs, tmp_path / name, gray=True)
        for pair in pairs:
            rgb = read_rgb(tmp_path / name / f"{pair.name}.png")
            assert np.ptp(rgb.astype(int), axis=2).max() == 0
    want = luminance(read_rgb(pairs[0].visible))
    assert np.array_equal(read_gray(tmp_path / "visible" / "p0.png"), want)


def test_single_sources_are_written_unchanged(pairs: list[ImagePair], tmp_path: Path) -> None:
    for name in ("infrared", "visible"):
        fuse_folder(load_method(name), pairs, tmp_path / name)
        for pair in pairs:
            written = read_rgb(tmp_path / name / f"{pair.name}.png")
            assert np.array_equal(written, read_rgb(getattr(pair, name)))


def test_colour_may_come_from_the_infrared_side(pairs: list[ImagePair], tmp_path: Path) -> None:
    swapped = [
        ImagePair(p.name, p.visible, p.infrared) for p in pairs
    ]  # e.g. PET first, MRI second
    fuse_folder(load_method("maximum"), pairs, tmp_path / "a")
    fuse_folder(load_method("maximum"), swapped, tmp_path / "b", color="infrared")
    for pair in pairs:
        first, second = (read_rgb(tmp_path / f / f"{pair.name}.png") for f in ("a", "b"))
        assert np.array_equal(first, second)


def test_precomputed_images_are_taken_as_they_are(pairs: list[ImagePair], tmp_path: Path) -> None:
    fuse_folder(load_method("maximum"), pairs, tmp_path / "theirs")
    method = load_method("precomputed", folder=tmp_path / "theirs")
    fuse_folder(method, pairs, tmp_path / "out", batch=4)
    for pair in pairs:
        first, second = (read_rgb(tmp_path / f / f"{pair.name}.png") for f in ("theirs", "out"))
        assert np.array_equal(first, second)


def test_missing_precomputed_images_are_all_told_first(
    pairs: list[ImagePair], tmp_path: Path
) -> None:
    fuse_folder(load_method("maximum"), pairs[:2], tmp_path / "theirs")
    method = load_method("precomputed", folder=tmp_path / "theirs")
    with pytest.raises(InputError, match=r"lacks the fused images of 4 of 6 .*p2, p3, p4, \.\.\."):
        fuse_folder(method, pairs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_precomputed_size_must_be_the_pairs(pairs: list[ImagePair], tmp_path: Path) -> None:
    fuse_folder(load_method("maximum"), pairs, tmp_path / "theirs")
    write_png(tmp_path / "theirs" / "p4.png", np.zeros((5, 6), np.uint8))
    method = load_method("precomputed", folder=tmp_path / "theirs")
    with pytest.raises(InputError, match=r'image of "p4" is 6x5 but its pair .*p4\.png\) is 16x12'):
        fuse_folder(method, pairs, tmp_path / "out")


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if "ThreadPoolExecutor" in t.name}


@pytest.mark.parametrize("where", ["ir", "vi"])
def test_an_unreadable_file_is_named_and_threads_end(
    pairs: list[ImagePair], tmp_path: Path, where: str
) -> None:
    (tmp_path / where / "p4.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=rf"{where}/p4\.png cannot be read as an image"):
        fuse_folder(load_method("maximum"), pairs, tmp_path / "out")
    assert threads() == set()
    assert not list((tmp_path / "out").glob("*.part"))


def test_unequal_sizes_are_named(pairs: list[ImagePair], tmp_path: Path) -> None:
    write_png(tmp_path / "vi" / "p1.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"ir/p1\.png is 16x12 but .*vi/p1\.png is 4x4"):
        fuse_folder(load_method("maximum"), pairs, tmp_path / "out")


def test_a_failed_write_stops_early_and_is_named(
    pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, image: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    many = [ImagePair(f"q{i}", pairs[0].infrared, pairs[0].visible) for i in range(200)]
    seen: list[int] = []
    monkeypatch.setattr(items, "write_png", full)
    with pytest.raises(InputError, match=r"q0\.png cannot be written \(No space left"):
        fuse_folder(
            load_method("maximum"), many, tmp_path, on_progress=lambda done, _: seen.append(done)
        )
    assert len(seen) < 20
    assert threads() == set()


def test_decoding_runs_only_a_little_ahead(
    pairs: list[ImagePair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    real = items.decode

    def counting(method: FusionMethod, color: items.Color, pair: ImagePair) -> items.Item:
        decoded.append(pair.name)
        return real(method, color, pair)

    def check(done: int, total: int) -> None:
        assert len(decoded) <= done + 8

    monkeypatch.setattr(generation, "decode", counting)
    many = [ImagePair(f"q{i}", pairs[0].infrared, pairs[0].visible) for i in range(60)]
    fuse_folder(load_method("maximum"), many, tmp_path / "out", on_progress=check)
    assert len(decoded) == 60


class Broken(FusionMethod):
    """Fails in one of three ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        if self.how == "raises":
            raise RuntimeError("out of something")
        return infrared * torch.nan if self.how == "nan" else infrared[..., :-1]


def test_a_failing_method_is_told_with_the_pair(pairs: list[ImagePair], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Fusing p0: the method returned NaN"):
        fuse_folder(Broken("nan"), pairs, tmp_path / "out")
    with pytest.raises(InputError, match=r"Fusing p0: the method returned \(1, 1, 12, 15\)"):
        fuse_folder(Broken("shape"), pairs, tmp_path / "out")
    with pytest.raises(RuntimeError, match="out of something") as caught:
        fuse_folder(Broken("raises"), pairs, tmp_path / "out", batch=2)
    assert caught.value.__notes__ == ["while fusing p0, p1"]
    assert threads() == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"color": "thermal"}, 'color is "thermal"'),
        ({"device": "cuda:99"}, "not on this machine"),
    ],
)
def test_wrong_arguments(
    pairs: list[ImagePair], tmp_path: Path, arguments: dict, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fuse_folder(load_method("maximum"), pairs, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_no_pairs_and_doubled_pairs(pairs: list[ImagePair], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pair to fuse"):
        fuse_folder(load_method("maximum"), [], tmp_path / "out")
    with pytest.raises(InputError, match='2 pairs are named "p0"'):
        fuse_folder(load_method("maximum"), [*pairs, pairs[0]], tmp_path / "out")


def test_contact_sheet_shows_every_image(tmp_path: Path) -> None:
    red = np.zeros((100, 200, 3), np.uint8)
    red[..., 0] = 255
    rows = [("night", [red, np.full((50, 50), 77, np.uint8)]), ("day", [red, red])]
    contact_sheet(rows, ["visible", "fused"], tmp_path / "new" / "sheet.png")
    sheet = read_rgb(tmp_path / "new" / "sheet.png")
    assert sheet.shape == (20 + (256 + 20) + (128 + 20), 256 + 4 + 256, 3)
    assert sheet[20 + 60, 128].tolist() == [255, 0, 0]
    assert sheet[20 + 128, 260 + 128].tolist() == [77, 77, 77]
    assert sheet[20 + 256 + 20 + 64, 260 + 128].tolist() == [255, 0, 0]
    assert sheet[:20, :256].min() < 128  # the header is drawn
    assert sheet[20 + 256 : 20 + 256 + 20, :100].min() < 128  # and the caption


def test_contact_sheet_refuses_ragged_rows(tmp_path: Path) -> None:
    image = np.zeros((4, 4), np.uint8)
    with pytest.raises(InputError, match='row "a" has 1 images, not 2'):
        contact_sheet([("a", [image])], ["x", "y"], tmp_path / "s.png")
    with pytest.raises(InputError, match="at least one row"):
        contact_sheet([], ["x"], tmp_path / "s.png")
