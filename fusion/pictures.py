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


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[Image]]], headers: Sequence[str], out: Path
) -> None:
    """Write `rows` as a grid: one (caption, images) a row, one header a column.

    Images are gray H x W or RGB H x W x 3, shown at their aspect ratio in cells of at most
    256 x 256 pixels. Raises InputError when a row has not one image per header, or with no row.
    """
    for caption, images in rows:
        if len(images) != len(headers):
            raise InputError(f'The row "{caption}" has {len(images)} images, not {len(headers)}.')
    if not rows or not headers:
        raise InputError("A contact sheet needs at least one row and one column.")
    lines = [_beside([_label(text, CELL) for text in headers])]
    for caption, images in rows:
        cells = [_fit(image) for image in images]
        height = max(cell.shape[0] for cell in cells)
        lines.append(_beside([_pad(cell, height) for cell in cells]))
        lines.append(_label(caption, lines[0].shape[1]))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, np.concatenate(lines))


def _fit(image: Image) -> Image:
    """Return the image as RGB with its larger side CELL pixels long."""
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    scale = CELL / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST  # pixels stay visible when enlarged
    return np.asarray(cv2.resize(rgb, size, interpolation=how), dtype=np.uint8)


def _pad(cell: Image, height: int) -> Image:
    canvas = np.full((height, CELL, 3), 255, np.uint8)
    left = (CELL - cell.shape[1]) // 2
    canvas[: cell.shape[0], left : left + cell.shape[1]] = cell
    return canvas


def _label(text: str, width: int) -> Image:
    canvas = np.full((CAPTION, width, 3), 255, np.uint8)
    readable = text.encode("ascii", "replace").decode()  # OpenCV's built-in font has no more
    cv2.putText(canvas, readable, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1)
    return canvas


def _beside(cells: Sequence[Image]) -> Image:
    gap = np.full((cells[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)
