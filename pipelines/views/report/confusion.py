"""A confusion matrix as a small figure: each row in percent of its true class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.views.report.html import Html, tag
from pipelines.views.report.palette import shade
from pipelines.views.report.svg import (
    GRID,
    INK,
    QUIET,
    SMALL,
    How,
    figure,
    label_width,
    rect,
    shortened,
    text,
)
from segmentation.iou import Confusion
from segmentation.pictures import row_shares

WIDTH, TOP = 340.0, 22.0


def confusion_figure(method: str, confusion: Confusion, classes: Sequence[str]) -> Html:
    """Draw one method's matrix; rows of classes that no test image shows stay empty."""
    left = label_width(classes, 12)
    side = (WIDTH - left) / len(classes)
    shares = row_shares(confusion)
    rows = [_row(name, shares[n], TOP + side * n, left, side) for n, name in enumerate(classes)]
    bottom = TOP + side * len(classes)
    heads = [_head(name, left + side * (n + 0.5), bottom + 10) for n, name in enumerate(classes)]
    diagonal = zip(classes, np.diagonal(shares), strict=True)
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in diagonal if share == share)
    title = text(0, 13, shortened(method, 40), font_weight=600)
    depth = left * 0.72 + 14
    return figure(WIDTH, bottom + depth, f"{method}, found rightly: {told}", title, *rows, *heads)


def _head(name: str, x: float, y: float) -> Html:
    turned = f"translate({x + 3:.1f} {y:.1f}) rotate(-45)"
    how: How = {"font_size": SMALL, "fill": QUIET, "text_anchor": "end", "transform": turned}
    return text(0, 0, shortened(name, 12), **how)


def _row(name: str, shares: NDArray[np.float64], top: float, left: float, side: float) -> Html:
    cells = []
    for n, share in enumerate(map(float, shares)):
        empty = share != share
        x, fill = left + side * n, "#f4f4f4" if empty else shade(share)
        cells.append(rect(x, top, side - 1.5, side - 1.5, fill=fill, stroke=GRID, stroke_width=0.5))
        if not empty and share >= 0.005 and side >= 20:
            ink = "#ffffff" if share > 0.45 else INK
            how: How = {"font_size": SMALL, "fill": ink, "text_anchor": "middle"}
            cells.append(text(x + side / 2 - 1, top + side / 2 + 3, f"{100 * share:.0f}", **how))
    label = text(left - 6, top + side / 2 + 3, shortened(name, 12), text_anchor="end")
    return tag("g", label, *cells)
