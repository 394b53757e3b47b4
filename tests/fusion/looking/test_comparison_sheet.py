"""Many methods side by side: the box lies where they differ, in every column, and enlarged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.looking.comparison_sheet import FRAME, Box, comparison_sheet, most_different
from fusion.looking.contact_sheet import contact_sheet
from fusion.pairs import Image, read_rgb, write_png
from pipelines.cli.app import main

SIDE = 80
HEADER = 25  # of a sheet with cells of 320 pixels


def gray(value: int = 100, size: tuple[int, int] = (60, SIDE)) -> Image:
    return np.full(size, value, np.uint8)


def striped(image: Image, box: Box, step: int = 90) -> Image:
    """Return a copy with bright columns in `box`."""
    copy = image.copy()
    copy[box.top : box.top + box.height, box.left : box.left + box.width : 2] += np.uint8(step)
    return copy


def test_the_box_finds_the_detail() -> None:
    box = Box(31, 42, 15, 20)
    found = most_different([gray(), striped(gray(), box), gray()], 15, 20)
    assert (found.top, found.height, found.width) == (31, 15, 20)
    assert found.left in (41, 42)  # stripes on every other column: both hold ten of them
    coloured = [np.repeat(i[..., None], 3, 2) for i in (gray(), striped(gray(), box))]
    assert most_different([coloured[0], coloured[1], gray()], 15, 20) == found


def test_a_brighter_patch_counts_less_than_faint_detail() -> None:
    bright = gray()
    bright[:30] = 250  # an offset as large as the box, and larger
    box = Box(40, 50, 10, 10)
    found = most_different([bright[:, :40], gray()[:, :40]], 10, 10)
    assert 30 - 10 < found.top < 30  # alone, its edge is the only structure
    flat = [np.full((60, 200), 100, np.uint8) for _ in range(2)]
    flat[0][:, :90] = 160
    flat[1] = striped(flat[1], Box(box.top, 150, 10, 10), step=120)
    assert most_different(flat, 10, 10).left in (149, 150)


def test_the_whole_image_and_equal_images() -> None:
    assert most_different([gray(), gray()], 60, SIDE) == Box(0, 0, 60, SIDE)
    assert most_different([gray(), gray()], 6, 8) == Box(0, 0, 6, 8)


def sheet_of(tmp_path: Path, zoom: float | None = 4.0) -> Image:
    """Two pairs of 80 x 60 in four columns; the two methods differ at (30, 40) and (0, 20)."""
    rows = []
    for name, box in (("first", Box(30, 40, 15, 20)), ("second", Box(0, 20, 15, 20))):
        other = gray()
        other[box.top : box.top + 15, box.left : box.left + 20] = np.arange(20) * 7
        loud = striped(gray(20), Box(45, 0, 15, 20), step=200)  # a source: it does not count
        rows.append((name, [loud, np.dstack([gray(200)] * 3), gray(), other]))
    comparison_sheet(rows, ["infrared", "visible", "a", "b"], tmp_path / "s.png", zoom)
    return read_rgb(tmp_path / "s.png")


def framed(part: Image) -> np.ndarray:
    return (part == np.array(FRAME)).all(axis=2)


def test_every_column_has_its_box_and_its_zoom(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path)
    pair = 240 + 4 + 240 + HEADER
    assert sheet.shape == (HEADER + 2 * pair, 4 * 320 + 3 * 4, 3)
    for number, (top, left) in enumerate(((30, 40), (0, 20))):
        for column in range(4):
            cell = sheet[HEADER + number * pair :, column * 324 : column * 324 + 320]
            line = framed(cell[:240])
            rows, columns = np.flatnonzero(line.any(axis=1)), np.flatnonzero(line.any(axis=0))
            edges = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
            expected = (4 * top, 4 * top + 60, 4 * left, 4 * left + 80)
            assert np.abs(np.subtract(edges, expected)).max() <= 2
            zoomed = cell[244 : 244 + 240]
            assert framed(zoomed)[0].all()
            assert framed(zoomed)[:, -1].all()
            assert not framed(zoomed)[8:-8, 8:-8].any()
    zoomed = sheet[HEADER + 244 : HEADER + 484, 3 * 324 : 3 * 324 + 320]
    ramp = zoomed[120, 8::16, 0]  # one sample in each enlarged pixel
    assert ramp.tolist() == (np.arange(20) * 7).tolist()
    plain = sheet[HEADER + 244 + 120, 324 + 160]
    assert plain.tolist() == [200, 200, 200]


def test_without_zoom_it_is_a_contact_sheet(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, zoom=None)
    assert sheet.shape == (HEADER + 2 * (240 + HEADER), 4 * 320 + 3 * 4, 3)
    assert not framed(sheet).any()


def test_one_method_is_compared_with_the_sources(tmp_path: Path) -> None:
    other = striped(gray(), Box(30, 40, 15, 20))
    comparison_sheet([("x", [gray(), gray(), other])], ["i", "v", "a"], tmp_path / "s.png")
    line = framed(read_rgb(tmp_path / "s.png")[HEADER : HEADER + 240, :320])
    assert np.flatnonzero(line.any(axis=1))[0] == pytest.approx(120, abs=2)


def test_large_and_odd_images_fit_their_cells(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 200, (3, 331, 517), np.uint8))
    comparison_sheet([("x", images)], ["i", "v", "a"], tmp_path / "s.png")
    height = round(331 * 320 / 517)
    assert read_rgb(tmp_path / "s.png").shape == (HEADER + 2 * height + 4 + HEADER, 968, 3)


def test_what_a_sheet_refuses(tmp_path: Path) -> None:
    out, three = tmp_path / "s.png", ["infrared", "visible", "a"]
    with pytest.raises(InputError, match='row "x" the image of "a" is 8x9, but that of "infrared"'):
        comparison_sheet([("x", [gray(), gray(), gray(1, (9, 8))])], three, out)
    with pytest.raises(InputError, match="has 2 images, not 3"):
        comparison_sheet([("x", [gray(), gray()])], three, out)
    with pytest.raises(InputError, match="at least one row"):
        comparison_sheet([], three, out)
    for zoom in (1.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="use more than 1"):
            comparison_sheet([("x", [gray()] * 3)], three, out, zoom)
    assert not out.exists()


def test_a_long_header_is_shrunk_into_its_column(tmp_path: Path) -> None:
    blank = gray(255, (10, 256))
    contact_sheet(
        [("", [blank, blank])],
        ["lkc_funet, kernels 15-11-5-5, crop 128, rate 1e-4", "b"],
        tmp_path / "s.png",
    )
    ink = (read_rgb(tmp_path / "s.png")[:20] < 128).any(axis=(0, 2))
    assert ink[:256].any()
    assert not ink[250:260].any()


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Ten pairs, two folders of fused images, the second of which lacks the pair "0"."""
    rng = np.random.default_rng(0)
    for folder in ("ir", "vi", "a", "b"):
        (tmp_path / folder).mkdir()
        for n in range(10):
            if (folder, n) != ("b", 0):
                image = rng.integers(0, 256, (12, 16), np.uint8)
                write_png(tmp_path / folder / f"{n}.png", image)
    sources = ["--infrared", str(tmp_path / "ir"), "--visible", str(tmp_path / "vi")]
    return [f"one={tmp_path / 'a'}", f"two={tmp_path / 'b'}", *sources]


def run(folders: list[str], tmp_path: Path, *more: str) -> int:
    return main(["sheet", *folders, "--out", str(tmp_path / "s.png"), *more])


@pytest.mark.parametrize(
    ("pairs", "count"), [("1", 1), ("4", 4), ("99", 9), ("3,", 1), ("2,7,2", 2)]
)
def test_the_command(
    folders: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pairs: str,
    count: int,
) -> None:
    assert run(folders, tmp_path, "--pairs", pairs, "--sources", "MRI,PET") == 0
    assert capsys.readouterr().out.startswith(f"{count} of 9 pairs that are in every folder: ")
    pair = 240 + 4 + 240 + HEADER
    assert read_rgb(tmp_path / "s.png").shape == (HEADER + count * pair, 4 * 324 - 4, 3)


def test_the_command_without_zoom(folders: list[str], tmp_path: Path) -> None:
    assert run(folders, tmp_path, "--zoom", "0") == 0
    assert read_rgb(tmp_path / "s.png").shape[0] == HEADER + 6 * (240 + HEADER)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--pairs", "0"], "--pairs is 0"),
        (["--pairs", "0,"], '"0" is not a pair that is in every folder'),
        (["--pairs", ","], "names no pair"),
        (["--sources", "MRI"], "give two names"),
        (["--zoom", "0.5"], "zoom is 0.5"),
    ],
)
def test_wrong_options(
    folders: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    assert run(folders, tmp_path, *more) == 2
    assert said in capsys.readouterr().err


def test_wrong_folders(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for given, said in (
        ("nothing", "is not NAME=DIR"),
        (folders[0], 'name "one" is given twice'),
        (f"three={tmp_path / 'empty'}", "No pair of"),
        (f"three={tmp_path / 'missing'}", "does not exist"),
    ):
        assert run([given, *folders], tmp_path) == 2
        assert said in capsys.readouterr().err
