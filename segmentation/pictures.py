"""What segmentation looks like: coloured masks, overlays, confusions as shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.pairs import Image
from segmentation.datasets import Palette


def colour_mask(ids: Image, palette: Palette) -> Image:
    """Return class ids, H x W, as colours, H x W x 3.

    Raises InputError when an id has no colour.
    """
    if ids.size and int(ids.max()) >= len(palette):
        raise InputError(
            f"The mask holds class id {int(ids.max())} but the palette has {len(palette)} colours; "
            f"give one colour per class."
        )
    colours = np.asarray(palette, dtype=np.uint8)
    return colours[ids]


def overlay(image: Image, ids: Image, palette: Palette, opacity: float = 0.6) -> Image:
    """Return an RGB image with the colours of its classes over it; class 0 stays clear.

    `image` is H x W x 3 (or H x W), `ids` H x W. Raises InputError when their sizes differ.
    """
    if image.shape[:2] != ids.shape:
        raise InputError(
            f"The image is {image.shape[1]}x{image.shape[0]} but its mask is "
            f"{ids.shape[1]}x{ids.shape[0]}; both must have one size."
        )
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    mixed = np.rint((1 - opacity) * rgb + opacity * colour_mask(ids, palette)).astype(np.uint8)
    return np.where(ids[..., None] == 0, rgb, mixed)


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each row divided by its sum; nan in the rows of absent classes."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.full(confusion.shape, np.nan)
    np.divide(confusion, totals, out=shares, where=totals > 0)
    return shares
