"""Masks: read strictly, written with a palette, counted, coloured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from fusion.errors import InputError
from fusion.palette import MASKS
from segmentation.datasets import (
    MSRS_CLASSES,
    read_mask,
    read_sample,
    resize_image,
    resize_mask,
    write_mask,
)
from segmentation.pictures import colour_mask, overlay, row_shares

IDS = np.array([[0, 1, 2], [8, 8, 0]], dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    Pillow.fromarray(array).save(path)
    return path


def test_msrs_has_one_colour_per_class() -> None:
    assert len(MSRS_CLASSES) == len(set(MASKS)) == 9
    assert MSRS_CLASSES[2] == "person"
    assert MASKS[0] == (0, 0, 0)


def test_write_then_read_gives_the_ids_back(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_mask(path, IDS, MASKS)
    assert np.array_equal(read_mask(path, 9, size=(3, 2)), IDS)
    with Pillow.open(path) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture.convert("RGB")), colour_mask(IDS, MASKS))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_palette_indices_are_read_even_where_colours_repeat(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", IDS, [(7, 7, 7)] * 9)
    assert np.array_equal(read_mask(tmp_path / "a.png", 9), IDS)


def test_single_channel_and_16_bit_masks_are_read(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        mask = read_mask(save(tmp_path / "m.png", IDS.astype(dtype)), 9)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, IDS)


def test_an_id_without_colour_is_refused(tmp_path: Path) -> None:
    for act in (
        lambda: write_mask(tmp_path / "a.png", IDS, MASKS[:8]),
        lambda: colour_mask(IDS, MASKS[:8]),
    ):
        with pytest.raises(InputError, match=r"class id 8 but the palette has 8 colours"):
            act()
    assert not list(tmp_path.iterdir())


def test_ids_out_of_range_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", IDS)
    with pytest.raises(InputError, match=r"m\.png holds class ids 2, 8 but .* 0\.\.1;"):
        read_mask(path, 2)
    many = save(tmp_path / "many.png", np.arange(20, dtype=np.uint8)[None])
    with pytest.raises(InputError, match=r"ids 5, 6, 7, 8, 9, 10, 11, 12, \.\.\. but"):
        read_mask(many, 5)
    with pytest.raises(InputError, match=r"ids 255, 300 but"):
        read_mask(save(tmp_path / "deep.png", np.array([[255, 300]], dtype=np.uint16)), 9)


def test_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is 3x2 but its image is 2x3"):
        read_mask(save(tmp_path / "m.png", IDS), 9, size=(2, 3))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_mask_is_refused(tmp_path: Path, channels: int) -> None:
    path = save(tmp_path / "m.png", np.zeros((4, 4, channels), dtype=np.uint8))
    with pytest.raises(InputError, match=r"m\.png is a colour image \(mode RGB"):
        read_mask(path, 9)


def test_unreadable_masks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    with pytest.raises(InputError, match="does not exist"):
        read_mask(path, 9)
    path.write_bytes(b"not a picture")
    with pytest.raises(InputError, match="cannot be read as a PNG mask"):
        read_mask(path, 9)
    noise = np.random.default_rng(0).integers(0, 9, (64, 64), dtype=np.uint8)
    data = save(tmp_path / "whole.png", noise).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read as a PNG mask"):
        read_mask(path, 9)
    Pillow.fromarray(IDS).save(tmp_path / "lossy.jpg")
    with pytest.raises(InputError, match="cannot be read as a PNG mask"):
        read_mask(tmp_path / "lossy.jpg", 9)


def test_a_sample_is_resized_together(tmp_path: Path) -> None:
    ids = np.kron(np.array([[0, 5], [7, 0]], dtype=np.uint8), np.ones((30, 40), dtype=np.uint8))
    image = np.repeat(ids[..., None] * 20, 3, axis=2)
    cv2.imwrite(str(tmp_path / "i.png"), image)
    rgb, mask = read_sample(tmp_path / "i.png", save(tmp_path / "m.png", ids), 9, 16, 32)
    assert rgb.shape == (16, 32, 3)
    assert mask.shape == (16, 32)
    assert set(np.unique(mask)) == {0, 5, 7}
    assert np.array_equal(rgb[..., 0] > 0, mask > 0)
    other = save(tmp_path / "n.png", ids[:-1])
    with pytest.raises(InputError, match="80x59 but its image is 80x60"):
        read_sample(tmp_path / "i.png", other, 9, 16, 32)


def test_resizing_averages_images_and_picks_ids() -> None:
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (4, 4))
    shrunk = resize_image(np.repeat(stripes[..., None], 3, axis=2), 2, 4)
    assert np.all(shrunk == 100)
    assert set(np.unique(resize_mask(stripes, 2, 4))) <= {0, 200}
    grown = resize_image(shrunk, 4, 8)
    assert grown.shape == (4, 8, 3)
    assert resize_image(grown, 4, 8) is grown
    assert resize_mask(stripes, 4, 8) is stripes


def test_overlay_leaves_background_clear() -> None:
    image = np.full((2, 3, 3), 100, dtype=np.uint8)
    mixed = overlay(image, IDS, MASKS, opacity=0.5)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    assert mixed[0, 1].tolist() == [(100 + part) // 2 for part in MASKS[1]]
    assert np.array_equal(overlay(image[..., 0], IDS, MASKS, opacity=0.5), mixed)
    with pytest.raises(InputError, match="image is 2x2 but its mask is 3x2"):
        overlay(image[:, :2], IDS, MASKS)


def test_row_shares_leave_absent_classes_empty() -> None:
    shares = row_shares(np.array([[3, 1], [0, 0]]))
    assert shares[0].tolist() == [0.75, 0.25]
    assert np.isnan(shares[1]).all()
