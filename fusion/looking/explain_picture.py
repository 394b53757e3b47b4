"""The redundancy of feature maps as a picture: heat over the fused image, one panel a layer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.files import write_atomically
from fusion.looking.explain import Explanation, Redundancy
from fusion.pairs import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, WIDTH = 3, 4.2
"""Panels beside each other, and the width of one in inches."""
COLOURS, MISSING, STRENGTH = "viridis", "0.75", 0.75
"""The colours of a value and of none, and how much of them covers the fused image."""
FAINT, UNDER = {"cmap": "gray", "vmin": -200, "vmax": 400}, "0.55"
"""Under the heat the fused image keeps its outlines but not its blacks and whites, which would be
read as other values; the colour bar lies over its middle gray."""


def draw_explanation(explanation: Explanation, title: str, path: Path) -> None:
    """Draw the fused image and, over it, the redundancy after every layer, as a PNG.

    All panels share one colour scale from 0 to 1, so that layers, methods and pictures compare;
    patches without a value are gray. Raises InputError for a file that is not a PNG.
    """
    require_png(path)
    # Imported here: matplotlib takes a second, and the numbers alone do not need it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = 1 + len(explanation.maps)
    columns = 2 if count == 4 else min(COLUMNS, count)
    rows = math.ceil(count / columns)
    height, width = explanation.fused.shape
    panel = WIDTH * height / width + 0.3
    figure = Figure(figsize=(WIDTH * columns + 1.1, panel * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    figure.supxlabel(_legend(explanation.maps[0]), fontsize=8, color="0.35")
    _draw_panels(figure, explanation, (rows, columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the software's name the same numbers give the same bytes under every version.
    how: dict[str, Any] = {"format": "png", "dpi": 110, "metadata": {"Software": None}}
    write_atomically(path, lambda stream: figure.savefig(stream, **how))


def require_png(path: Path) -> None:
    """Raise InputError unless the name of `path` ends in .png; cheap, so ask before computing."""
    if path.suffix.lower() != ".png":
        raise InputError(f'The picture "{path}" must be a PNG; let its name end in .png.')


def _draw_panels(figure: Figure, explanation: Explanation, grid: tuple[int, int]) -> None:
    import matplotlib

    panels: list[Any] = list(figure.subplots(*grid, squeeze=False).flat)
    for axes in panels:
        axes.axis("off")
    panels[0].imshow(explanation.fused, cmap="gray", vmin=0, vmax=255)
    panels[0].set_title("fused", fontsize=9)
    colours = matplotlib.colormaps[COLOURS].with_extremes(bad=MISSING)
    for axes, found in zip(panels[1:], explanation.maps, strict=False):
        axes.imshow(explanation.fused, **FAINT)
        heat = spread(found, explanation.fused)
        shown = axes.imshow(heat, cmap=colours, vmin=0, vmax=1, alpha=STRENGTH)
        axes.set_title(describe(found), fontsize=9)
    bar = figure.colorbar(shown, ax=panels, shrink=0.9, aspect=30, pad=0.015)
    bar.ax.set_facecolor(UNDER)
    bar.set_label("redundancy: mean |correlation| of the channels", fontsize=9)
    chance = explanation.maps[0].chance
    round_numbers = [tick / 5 for tick in range(6) if abs(tick / 5 - chance) > 0.04]
    names = [f"{tick:.1f}" for tick in round_numbers]
    bar.set_ticks([*round_numbers, chance], labels=[*names, "noise"], fontsize=8)


def spread(found: Redundancy, image: Image) -> NDArray[np.float32]:
    """Return the values of all patches at the pixels of `image`, H x W; nan where there is none.

    The feature map is taken to cover the whole image: where a network pads its input, the patches
    at the right and lower border lie off by a fraction of that padding.
    """
    lines, places = (
        (np.arange(size) * length // size) // found.patch
        for size, length in zip(image.shape, found.shape, strict=True)
    )
    padded = np.pad(found.values, ((0, 1), (0, 1)), constant_values=np.nan)
    heat: NDArray[np.float32] = padded[lines[:, None], places[None, :]]
    return heat


def describe(found: Redundancy) -> str:
    """Return one line: the layer, which of its runs, its channels and size, the mean."""
    run = f" (run {found.run} of {found.runs})" if found.runs > 1 else ""
    height, width = found.shape
    mean = "undefined" if math.isnan(found.mean) else f"mean {found.mean:.2f}"
    return f"{found.layer}{run}: {found.channels} channels, {width}x{height}, {mean}"


def _legend(found: Redundancy) -> str:
    return (
        f"One value per patch of {found.patch}x{found.patch} positions of the feature map: the "
        f"mean |Pearson correlation| over all pairs of channels that vary in the patch.\n0: no "
        f"channel predicts another; 1: all are copies; noise reaches {found.chance:.2f}. "
        f"This measure is fuse-then's own definition. Gray: fewer than two vary."
    )
