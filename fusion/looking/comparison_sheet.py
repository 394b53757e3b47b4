"""The sources and many methods' images side by side, enlarged where the methods differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.looking.contact_sheet import check_grid, contact_sheet, fit
from fusion.pairs import Image, luminance

CELL, LINE = 320, 2
"""Largest side of one shown image, and width of the box's line, in pixels."""
FRAME = (255, 196, 0)
"""The colour, RGB, that ties the box to what is enlarged from it."""


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels within an image."""

    top: int
    left: int
    height: int
    width: int


def comparison_sheet(
    rows: Sequence[tuple[str, Sequence[Image]]],
    captions: Sequence[str],
    out: Path,
    zoom: float | None = 4.0,
    sources: int = 2,
) -> None:
    """Write `rows` as a PNG: one (name, images) a pair, one caption a column.

    The first `sources` columns are what was fused, the others are methods; images are gray H x W
    or RGB H x W x 3, of one size within a row. In each row the part in which the methods differ
    most (`most_different`), with 1/`zoom` of the image's sides, is marked in every column and
    shown again below, `zoom` times as large; None leaves it out. Raises InputError for a row that
    lacks an image, images of different sizes, and a zoom that enlarges nothing.
    """
    check_grid(rows, captions)
    if zoom is not None and not 1 < zoom < float("inf"):
        raise InputError(f"zoom is {zoom:g}; use more than 1, or none at all.")
    cell = _cell(rows)
    lines: list[tuple[str, Sequence[Image]]] = []
    for name, images in rows:
        _check_sizes(name, images, captions)
        if zoom is None:
            lines.append((name, images))
            continue
        height, width = (max(1, round(side / zoom)) for side in images[0].shape[:2])
        compared = images[sources:] if len(images) - sources > 1 else images
        box = most_different(compared, height, width)
        lines.append(("", [_marked(image, box, cell) for image in images]))
        lines.append((name, [_enlarged(image, box, cell) for image in images]))
    contact_sheet(lines, captions, out, cell=cell)


def most_different(images: Sequence[Image], height: int, width: int) -> Box:
    """Return where, in a box of this size, the images' luminances differ most in structure.

    The variance between the images is averaged over the box, less the variance between their
    means in the box: a method that is merely brighter there does not count. The first such box,
    from the top left, when several are equal.
    """
    values = np.stack([_gray(image) for image in images]).astype(np.float64)
    means = np.stack([_box_means(value, height, width) for value in values])
    score = _box_means(values.var(axis=0), height, width) - means.var(axis=0)
    top, left = np.unravel_index(int(score.argmax()), score.shape)
    return Box(int(top), int(left), height, width)


def _gray(image: Image) -> Image:
    return luminance(image) if image.ndim == 3 else image


def _box_means(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Return the mean of every box that lies wholly within `values`, at its top left corner."""
    means = cv2.boxFilter(values, cv2.CV_64F, (width, height), anchor=(0, 0))
    rows, columns = values.shape[0] - height + 1, values.shape[1] - width + 1
    return np.asarray(means, dtype=np.float64)[:rows, :columns]


def _cell(rows: Sequence[tuple[str, Sequence[Image]]]) -> int:
    """Return the cell's side: CELL, or less when images are enlarged by a whole number to it."""
    largest = max(max(image.shape[:2]) for _, images in rows for image in images)
    return largest * (CELL // largest) if largest < CELL else CELL


def _marked(image: Image, box: Box, cell: int) -> Image:
    """Return the image at the size it is shown, so that the box's line stays as thin there."""
    shown = fit(image, cell)
    down, right = (new / old for new, old in zip(shown.shape[:2], image.shape[:2], strict=True))
    first = (round(box.left * right), round(box.top * down))
    last = (
        round((box.left + box.width) * right) - 1,
        round((box.top + box.height) * down) - 1,
    )
    cv2.rectangle(shown, first, last, (0, 0, 0), LINE + 2)  # seen on bright ground, too
    cv2.rectangle(shown, first, last, FRAME, LINE)
    return shown


def _enlarged(image: Image, box: Box, cell: int) -> Image:
    """Return what is in the box, as large as the whole image is shown, in the box's colour."""
    part = image[box.top : box.top + box.height, box.left : box.left + box.width]
    height, width = fit(image, cell).shape[:2]
    large = fit(np.ascontiguousarray(part), cell)
    if large.shape[:2] != (height, width):  # the box's sides are whole pixels, its shape is not
        large = np.asarray(cv2.resize(large, (width, height), interpolation=cv2.INTER_LINEAR))
    cv2.rectangle(large, (0, 0), (width - 1, height - 1), FRAME, 2 * LINE)
    return large


def _check_sizes(name: str, images: Sequence[Image], captions: Sequence[str]) -> None:
    for caption, image in zip(captions, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            first, other = (f"{i.shape[1]}x{i.shape[0]}" for i in (images[0], image))
            raise InputError(
                f'In the row "{name}" the image of "{caption}" is {other}, but that of '
                f'"{captions[0]}" is {first}; they must have one size, so fuse the pair again.'
            )
