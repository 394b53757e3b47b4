"""Pairs: found by stem, read as 8-bit, and coloured as the published results were."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion.errors import InputError
from fusion.pairs import (
    ImagePair,
    check_same_size,
    from_ycrcb,
    is_gray,
    list_images,
    list_pairs,
    luminance,
    read_gray,
    read_image,
    read_rgb,
    split_luminance,
    write_png,
)


def recoloured(fused: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """The fused luminance with the colour of `rgb`, as a folder of pairs is coloured."""
    ycrcb = split_luminance(rgb)[1]
    assert ycrcb is not None
    return from_ycrcb(fused, ycrcb)


def image(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for folder in ("ir", "vi"):
        (tmp_path / folder).mkdir()
        for name in ("b", "a"):
            write_png(tmp_path / folder / f"{name}.png", image(0, 5, 7))
    return tmp_path / "ir", tmp_path / "vi"


def test_pairs_are_sorted_and_matched_by_stem(folders: tuple[Path, Path]) -> None:
    (folders[1] / "a.png").rename(folders[1] / "a.bmp")
    (folders[0] / "notes.txt").write_text("not an image")
    pairs = list_pairs(*folders)
    assert [pair.name for pair in pairs] == ["a", "b"]
    assert pairs[0].visible == folders[1] / "a.bmp"


@pytest.mark.parametrize("side", [0, 1])
def test_missing_partner_is_named(folders: tuple[Path, Path], side: int) -> None:
    (folders[side] / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png has no partner in .*(ir|vi)"):
        list_pairs(*folders)


def test_two_files_of_one_stem(folders: tuple[Path, Path]) -> None:
    (folders[0] / "a.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"a\.jpg and a\.png|a\.png and a\.jpg"):
        list_pairs(*folders)


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="hold no image"):
        list_pairs(tmp_path, tmp_path)


def test_size_mismatch_names_both(folders: tuple[Path, Path]) -> None:
    pair = ImagePair("a", folders[0] / "a.png", folders[1] / "a.png")
    with pytest.raises(InputError, match=r"ir/a\.png is 7x5 but .*vi/a\.png is 8x5"):
        check_same_size(pair, image(0, 5, 7), image(0, 5, 8, 3))


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((4, 4), 4000, np.uint16))
    with pytest.raises(InputError, match=r"deep\.png is uint16, not 8-bit"):
        read_gray(tmp_path / "deep.png")


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "is empty"), (b"no image", "cannot be read as an image")]
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.png {said}"):
        read_rgb(tmp_path / "bad.png")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png cannot be opened"):
        read_rgb(tmp_path / "gone.png")


def test_png_round_trip_keeps_every_pixel(tmp_path: Path) -> None:
    for name, written in (("rgb", image(1, 9, 11, 3)), ("gray", image(2, 9, 11))):
        write_png(tmp_path / f"{name}.png", written)
        read = read_rgb if written.ndim == 3 else read_gray
        assert np.array_equal(read(tmp_path / f"{name}.png"), written)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gray.png", "rgb.png"]


def test_images_are_read_as_they_are_stored(tmp_path: Path) -> None:
    for name, written in (("rgb", image(1, 9, 11, 3)), ("gray", image(2, 9, 11))):
        write_png(tmp_path / f"{name}.png", written)
        assert np.array_equal(read_image(tmp_path / f"{name}.png"), written)


def test_one_coloured_pixel_is_colour() -> None:
    rgb = np.repeat(image(12, 40, 7, 1), 3, axis=2)
    assert is_gray(rgb)
    assert is_gray(rgb[..., 0])
    for channel in range(3):
        for row in (0, 33):  # among the rows looked at first, and not
            other = rgb.copy()
            other[row, 2, channel] ^= 1
            assert not is_gray(other)


def test_luminance_is_split_off_and_put_back() -> None:
    rgb = image(13, 20, 30, 3)
    y, ycrcb = split_luminance(rgb)
    assert ycrcb is not None
    assert np.array_equal(ycrcb, cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    assert np.array_equal(y, luminance(rgb))
    fused = image(14, 20, 30)
    want = cv2.cvtColor(np.dstack([fused, ycrcb[..., 1:]]), cv2.COLOR_YCrCb2RGB)
    assert np.array_equal(from_ycrcb(fused, ycrcb), want)
    gray = image(15, 20, 30)
    for stored in (gray, np.dstack([gray] * 3)):
        y, none = split_luminance(stored)
        assert none is None
        assert np.array_equal(y, gray)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgb = image(3, 6, 6, 3)
    bgra = np.dstack([rgb[..., ::-1], image(4, 6, 6)])
    cv2.imwrite(str(tmp_path / "alpha.png"), bgra)
    assert np.array_equal(read_rgb(tmp_path / "alpha.png"), rgb)


def test_luminance_of_gray_is_itself() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    rgb = np.repeat(ramp[..., None], 3, axis=2)
    assert is_gray(rgb)
    assert np.array_equal(luminance(rgb), ramp)


def test_luminance_is_the_rounded_weighted_sum() -> None:
    rgb = image(5, 32, 32, 3)
    want = rgb.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert not is_gray(rgb)
    assert np.abs(luminance(rgb) - want).max() <= 0.51


def test_reattached_luminance_comes_back_where_the_colour_exists() -> None:
    muted = (image(6, 64, 64, 3) // 8 + 112).astype(np.uint8)  # little chroma: all Y in gamut
    fused = (image(7, 64, 64) // 2 + 64).astype(np.uint8)
    coloured = recoloured(fused, muted)
    assert np.abs(luminance(coloured).astype(int) - fused).max() <= 1
    before, after = (cv2.cvtColor(i, cv2.COLOR_RGB2YCrCb)[..., 1:] for i in (muted, coloured))
    assert np.abs(before.astype(int) - after).max() <= 1


def test_reattached_colour_follows_the_published_formula() -> None:
    rgb, fused = image(8, 16, 16, 3), image(9, 16, 16)
    red, _, blue = (rgb[..., i].astype(np.float64) for i in range(3))
    y = luminance(rgb)
    cr, cb = (red - y) * 0.713, (blue - y) * 0.564
    want = np.stack([fused + 1.403 * cr, fused - 0.714 * cr - 0.344 * cb, fused + 1.773 * cb], -1)
    difference = np.abs(recoloured(fused, rgb) - want.clip(0, 255))
    assert difference.max() <= 2.0  # both steps round to 8 bits


def test_reattach_leaves_its_input_alone() -> None:
    rgb = image(10, 8, 8, 3)
    copy = rgb.copy()
    recoloured(image(11, 8, 8), rgb)
    assert np.array_equal(rgb, copy)
