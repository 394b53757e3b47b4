"""Aligned image pairs on disk: found by name, read, taken apart into luminance and chroma."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError, is_printable, printable
from fusion.files import write_atomically
from fusion.opening import check_file, read_bytes

Image = NDArray[np.uint8]
"""uint8, H x W (gray) or H x W x 3 (RGB)."""

PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
)
"""How PNG files are packed; the level must come first, as it resets the strategy.

Photographs are about as small as with OpenCV's level 1, written in half the time, and read in
two thirds of it.
"""

MOST_BYTES = 1_000_000_000
MOST_PIXELS = 40_000_000
BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a PNG, JPEG, BMP and TIFF file begin; OpenCV would open a dozen more formats."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class ImagePair:
    """One infrared and one visible image of the same size and scene, known by their file stem."""

    name: str
    infrared: Path
    visible: Path


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images of `folder` by file stem, sorted by name.

    Raises InputError when the folder is missing, or when two files share a stem.
    """
    if not folder.is_dir():
        raise InputError(f"The image folder {folder} does not exist; check the path.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        check_listed(path)
        if path.stem in found:
            raise InputError(
                f"{folder} holds both {found[path.stem].name} and {path.name}: pairs are matched "
                f"by file stem, so keep only one of them."
            )
        found[path.stem] = path
    return found


def list_pairs(infrared: Path, visible: Path) -> list[ImagePair]:
    """Return the pairs of two folders, matched by file stem and sorted by name.

    Raises InputError when an image has no partner, or when there is no pair at all.
    """
    first, second = list_images(infrared), list_images(visible)
    for have, lack, folder in ((first, second, visible), (second, first, infrared)):
        alone = sorted(have.keys() - lack.keys())
        if alone:
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise InputError(
                f"{have[alone[0]]} has no partner in {folder}{more}; "
                f"add the missing image or remove this one."
            )
    if not first:
        raise InputError(f"{infrared} and {visible} hold no image; check the two folders.")
    return [ImagePair(name, first[name], second[name]) for name in first]


def check_listed(path: Path) -> None:
    """Raise InputError for what is no file, or has a name that cannot be shown.

    Whoever lists files asks, so that nobody later opens a pipe, or fails at a name.
    """
    if not is_printable(path.name):
        raise InputError(
            f"{printable(str(path))} has a name that is no text in UTF-8, or with characters that "
            f"cannot be printed; rename it."
        )
    if not path.is_file():
        check_file(path, MOST_BYTES)


def read_image(path: Path) -> Image:
    """Read an 8-bit image as it is stored: gray H x W, or RGB H x W x 3; alpha is dropped.

    Raises InputError when the file cannot be decoded or is not 8-bit.
    """
    image = _decoded(path)
    if image.dtype != np.uint8:
        raise InputError(f"{path} is {image.dtype}, not 8-bit; convert it to 8 bits first.")
    if image.ndim == 2:
        return _uint8(image)
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return _uint8(cv2.cvtColor(image, code))


def read_rgb(path: Path) -> Image:
    """Read an 8-bit image as RGB, H x W x 3; a gray file gets three equal channels.

    Raises InputError as `read_image` does.
    """
    image = read_image(path)
    return image if image.ndim == 3 else _uint8(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))


def read_stack(path: Path) -> Image:
    """Read an 8-bit PNG of four channels, H x W x 4: red, green, blue, and infrared as alpha.

    Raises InputError as `read_image` does, and for an image of fewer channels.
    """
    image = _decoded(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
        raise InputError(
            f"{path} is no 8-bit image of four channels (RGB and infrared); fuse it with the "
            f'method "early".'
        )
    return _uint8(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))


def channels_of(path: Path) -> int:
    """Return how many channels a network sees of an image: 4 where it has alpha, else 3."""
    image = _decoded(path)
    return 4 if image.ndim == 3 and image.shape[2] == 4 else 3


def stack(infrared: Image, visible: Image) -> Image:
    """Return RGB and infrared luminance as one image of four channels, H x W x 4."""
    rgb = visible if visible.ndim == 3 else cv2.cvtColor(visible, cv2.COLOR_GRAY2RGB)
    return _uint8(np.dstack([rgb, luminance(infrared)]))


def read_shown(path: Path) -> Image:
    """Read an 8-bit image as it is shown: RGB, and of four channels RGB with infrared beside it.

    Raises InputError as `read_image` does.
    """
    if channels_of(path) == 3:
        return read_rgb(path)
    image = read_stack(path)
    return _uint8(np.hstack([image[..., :3], np.repeat(image[..., 3:], 3, axis=2)]))


def read_gray(path: Path) -> Image:
    """Read an 8-bit image as luminance, H x W; raises InputError as `read_image` does.

    A colour file is decoded to colour first: OpenCV's own grayscale decoding truncates instead
    of rounding and comes out up to one grey level lower.
    """
    return luminance(read_image(path))


def luminance(image: Image) -> Image:
    """Return Y of OpenCV's 8-bit YCrCb, H x W: 0.299 R + 0.587 G + 0.114 B, rounded.

    A gray image, H x W, is its own luminance and is returned itself.
    """
    if image.ndim == 2:
        return image
    return _uint8(cv2.extractChannel(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb), 0))


def split_luminance(image: Image) -> tuple[Image, Image | None]:
    """Return the luminance, H x W, and the YCrCb it is part of, H x W x 3.

    Instead of the YCrCb comes None when all channels are equal, so that there is no colour.
    """
    if image.ndim == 2:
        return image, None
    if is_gray(image):
        return _uint8(cv2.extractChannel(image, 0)), None
    ycrcb = _uint8(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    return _uint8(cv2.extractChannel(ycrcb, 0)), ycrcb


def from_ycrcb(luminance: Image, ycrcb: Image) -> Image:
    """Return the RGB image of `luminance` with Cr and Cb of `ycrcb`, whose Y is overwritten."""
    cv2.insertChannel(luminance, ycrcb, 0)
    return _uint8(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB))


def is_gray(image: Image) -> bool:
    """Tell whether `image` has one channel, or three that are equal."""
    if image.ndim == 2:
        return True
    return _equal_channels(image[::32]) and _equal_channels(image)  # a few rows show most colours


def _equal_channels(image: Image) -> bool:
    red, green, blue = cv2.split(image)
    return np.array_equal(red, green) and np.array_equal(green, blue)


def write_png(path: Path, image: Image) -> None:
    """Write a gray (H x W), RGB (H x W x 3) or stacked (H x W x 4) image as PNG, atomically."""
    four = image.shape[2:] == (4,)
    code = cv2.COLOR_RGBA2BGRA if four else cv2.COLOR_RGB2BGR
    bgr = image if image.ndim == 2 else cv2.cvtColor(image, code)
    done, data = cv2.imencode(".png", bgr, PNG)
    if not done:
        raise InputError(f"{path} could not be encoded as PNG (shape {image.shape}).")
    write_atomically(path, data.tobytes())


def check_same_size(pair: ImagePair, infrared: Image, visible: Image) -> None:
    """Raise InputError unless both decoded images of `pair` have the same height and width."""
    if infrared.shape[:2] != visible.shape[:2]:
        first, second = (f"{i.shape[1]}x{i.shape[0]}" for i in (infrared, visible))
        raise InputError(
            f"{pair.infrared} is {first} but {pair.visible} is {second}; "
            f"a pair must be aligned and of one size, so resample one of them."
        )


def _decoded(path: Path) -> NDArray[Any]:
    """Return the pixels of a file as OpenCV has them, of any depth and number of channels."""
    data = read_bytes(path, MOST_BYTES)
    if not data:
        raise InputError(f"{path} is empty; replace the file.")
    refused = f"{path} cannot be read as an image; replace the file."
    if not data.startswith(BEGINNINGS) or not _holds_its_chunks(data):
        raise InputError(refused)
    if data.startswith(BEGINNINGS[0]):  # also where somebody has imported OpenCV before us
        check_pixels(path, int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    try:
        image: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:  # the size is checked before anything is decoded
        raise InputError(
            f"{path} has more than {MOST_PIXELS:,} pixels, which is what is read, or a header that "
            f"no image has; make it smaller."
        ) from error
    if image is None:
        raise InputError(refused)
    return image


def _holds_its_chunks(data: bytes) -> bool:
    """Whether a PNG is as long as its chunks say; OpenCV fills what it is told, and then looks."""
    if not data.startswith(BEGINNINGS[0]):
        return True
    place, kind = len(BEGINNINGS[0]), b""
    while kind != b"IEND" and place + 12 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        place += 12 + length
    return kind == b"IEND" and place <= len(data)


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise InputError for an image that is too large to be decoded."""
    if width * height > MOST_PIXELS:
        raise InputError(
            f"{path} is {width}x{height}, and images of at most {MOST_PIXELS:,} pixels are read; "
            f"make it smaller."
        )


def _uint8(image: object) -> Image:
    return np.ascontiguousarray(image, dtype=np.uint8)
