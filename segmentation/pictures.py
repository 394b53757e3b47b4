"""What segmentation looks like: coloured masks, overlays, the confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.pairs import Image
from segmentation.datasets import Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def plot_confusion(confusion: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix as PNG, each row in percent of its true class.

    A class absent from the ground truth has an empty row. Raises InputError when the matrix is
    not n x n for n names.
    """
    # Imported here: matplotlib takes a second, and scores alone do not need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if confusion.shape != (len(names), len(names)):
        raise InputError(
            f"A confusion matrix of shape {confusion.shape} cannot be drawn with {len(names)} "
            f"class names; give one name per class."
        )
    side = 2.4 + 0.62 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.add_subplot(), row_shares(confusion), names)
    partial = path.with_name(path.name + ".part")
    # Without the software's name the same matrix gives the same bytes under every version.
    figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    partial.replace(path)


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each row divided by its sum; nan in the rows of absent classes."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.full(confusion.shape, np.nan)
    np.divide(confusion, totals, out=shares, where=totals > 0)
    return shares


def _draw(axes: Axes, shares: NDArray[np.float64], names: Sequence[str]) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    ticks = range(len(names))
    axes.set_xticks(ticks, labels=list(names), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels=list(names))
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title("Pixels in percent of the true class")
    for row, column in np.argwhere(~np.isnan(shares)):
        share = float(shares[row, column])
        text = f"{100 * share:.0f}" if share >= 0.995 or share == 0 else f"{100 * share:.1f}"
        axes.text(
            int(column), int(row), text, ha="center", va="center", fontsize=8,
            color="white" if share > 0.5 else "black",
        )  # fmt: skip
