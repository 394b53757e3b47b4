"""A grid of images with captions, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fusion.errors import InputError
from fusion.pairs import Image, write_png

CELL, CAPTION, GAP = 256, 20, 4
"""Largest side of one image, height of a line of text, and white space between, in pixels."""
SMALLEST = 0.28
"""The font scale below which text is cut off rather than made smaller."""


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Image]]],
    headers: Sequence[str],
    out: Path,
    cell: int = CELL,
) -> None:
    """Write `rows` as a grid: one (caption, images) a row, one header a column.

    Images are gray H x W or RGB H x W x 3, shown at their aspect ratio in cells of at most
    `cell` x `cell` pixels; a row without caption stands close to the next. Raises InputError when
    a row has not one image per header, or with no row.
    """
    check_grid(rows, headers)
    lines = [_beside([_label(text, cell, cell) for text in headers])]
    for caption, images in rows:
        fitted = [fit(image, cell) for image in images]
        height = max(image.shape[0] for image in fitted)
        lines.append(_beside([_pad(image, height, cell) for image in fitted]))
        width = lines[0].shape[1]
        lines.append(_label(caption, width, cell) if caption else _blank(GAP, width))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, np.concatenate(lines))


def check_grid(rows: Sequence[tuple[str, Sequence[Image]]], headers: Sequence[str]) -> None:
    """Raise InputError unless there is a row, a column, and in each row one image per header."""
    for caption, images in rows:
        if len(images) != len(headers):
            raise InputError(f'The row "{caption}" has {len(images)} images, not {len(headers)}.')
    if not rows or not headers:
        raise InputError("A contact sheet needs at least one row and one column.")


def fit(image: Image, side: int) -> Image:
    """Return the image as RGB with its larger side `side` pixels long."""
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    scale = side / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST  # pixels stay visible when enlarged
    return np.asarray(cv2.resize(rgb, size, interpolation=how), dtype=np.uint8)


def _pad(image: Image, height: int, width: int) -> Image:
    canvas = _blank(height, width)
    left = (width - image.shape[1]) // 2
    canvas[: image.shape[0], left : left + image.shape[1]] = image
    return canvas


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def _label(text: str, width: int, cell: int) -> Image:
    """Return a line of text in the cells' proportion, at need as small as can still be read."""
    canvas = _blank(CAPTION * cell // CELL, width)
    readable = text.encode("ascii", "replace").decode()  # OpenCV's built-in font has no more
    scale = 0.42 * cell / CELL
    while scale > SMALLEST and _length(readable, scale) > width - 8:
        scale *= 0.95
    place = (4, canvas.shape[0] * 7 // 10)
    cv2.putText(canvas, readable, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1)
    return canvas


def _length(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def _beside(cells: Sequence[Image]) -> Image:
    gap = _blank(cells[0].shape[0], GAP)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
