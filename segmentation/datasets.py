"""Segmentation masks on disk: PNG files of class ids, read strictly, written with a palette."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from fusion.errors import InputError
from fusion.files import write_atomically
from fusion.opening import check_file
from fusion.pairs import MOST_BYTES, Image, check_pixels, read_rgb, read_stack

Palette = Sequence[tuple[int, int, int]]
"""One RGB colour, 0..255 each, per class id."""

MSRS_CLASSES = (
    "unlabelled",
    "car",
    "person",
    "bike",
    "curve",
    "car stop",
    "guardrail",
    "color cone",
    "bump",
)
"""Class names of MSRS (and MFNet) by id."""

BOMBS = (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning)
ID_MODES = frozenset({"L", "P", "I", "I;16"})
"""Pillow's modes of a PNG that holds one integer per pixel."""


def read_mask(path: Path, classes: int, size: tuple[int, int] | None = None) -> Image:
    """Read a PNG of class ids as uint8, H x W, with ids 0..classes-1.

    Single-channel files hold the ids; of palette files the indices are read, not the colours.
    `size` is the (width, height) of the image that the mask belongs to.
    Raises InputError for an unreadable file, a colour mask, another size, or an id out of range.
    """
    ids = _decode(path)
    if size is not None and (ids.shape[1], ids.shape[0]) != size:
        raise InputError(
            f"{path} is {ids.shape[1]}x{ids.shape[0]} but its image is {size[0]}x{size[1]}; "
            f"a mask must have the size of its image, so export it again."
        )
    strange = sorted({int(i) for i in np.unique(ids) if not 0 <= i < classes})
    if strange:
        more = ", ..." if len(strange) > 8 else ""
        raise InputError(
            f"{path} holds class ids {', '.join(map(str, strange[:8]))}{more} but the allowed "
            f"range is 0..{classes - 1}; correct the mask or the list of classes."
        )
    return np.ascontiguousarray(ids, dtype=np.uint8)


def write_mask(path: Path, ids: Image, palette: Palette) -> None:
    """Write class ids, uint8 H x W, as a palette PNG, atomically.

    Raises InputError when an id has no colour in `palette`.
    """
    if ids.size and int(ids.max()) >= len(palette):
        raise InputError(
            f"{path} would hold class id {int(ids.max())} but the palette has {len(palette)} "
            f"colours; give one colour per class."
        )
    picture = Pillow.fromarray(np.ascontiguousarray(ids, dtype=np.uint8))
    picture.putpalette([channel for colour in palette for channel in colour])
    write_atomically(path, lambda stream: picture.save(stream, format="PNG"))


def read_sample(
    image: Path, mask: Path, classes: int, height: int, width: int, channels: int = 3
) -> tuple[Image, Image]:
    """Read one image (height x width x channels) and its mask (height x width), both resized.

    Raises InputError when either is unreadable or when their sizes on disk differ.
    """
    rgb = read_rgb(image) if channels == 3 else read_stack(image)
    ids = read_mask(mask, classes, size=(rgb.shape[1], rgb.shape[0]))
    return resize_image(rgb, height, width), resize_mask(ids, height, width)


def resize_image(rgb: Image, height: int, width: int) -> Image:
    """Resize an image: area averaging where it shrinks, bilinear where it grows."""
    if rgb.shape[:2] == (height, width):
        return rgb
    shrinks = height <= rgb.shape[0] and width <= rgb.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how), dtype=np.uint8)


def resize_mask(ids: Image, height: int, width: int) -> Image:
    """Resize class ids by the nearest pixel, so that no id is invented."""
    if ids.shape == (height, width):
        return ids
    # INTER_NEAREST takes the top-left pixel; EXACT takes the one under the new pixel's centre.
    resized = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def _decode(path: Path) -> NDArray[np.integer]:
    try:
        if not path.exists():
            raise InputError(f"The mask {path} does not exist; check the path.")
        check_file(path, MOST_BYTES)
        with Pillow.open(path, formats=["PNG"]) as picture:
            check_pixels(path, *picture.size)
            picture.load()
            if picture.mode in ID_MODES:
                return np.asarray(picture)
            mode = picture.mode
    # Pillow reports a broken PNG as OSError, SyntaxError, ValueError or a decompression bomb.
    except (OSError, SyntaxError, ValueError, *BOMBS) as error:
        raise InputError(f"{path} cannot be read as a PNG mask ({error}); replace it.") from error
    raise InputError(
        f"{path} is a colour image (mode {mode}), not a mask of class ids; "
        f"store one id per pixel in a single-channel or palette PNG."
    )
