"""The project's colours, as plain data: methods in charts, boxes on images, classes in masks.

All are told apart with the common colour blindnesses. Most are those of Okabe and Ito, Color
Universal Design (2008); the further colours of methods are from Paul Tol's muted set.
"""

from __future__ import annotations

METHODS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07500"),
    *("#56b4e9", "#882255", "#999933", "#332288", "#aa4499"),
)
"""Lines and markers on white, in the order in which methods get them; no light yellow."""

INFRARED, VISIBLE = "#333333", "#7d7d7d"
"""The two source images alone, which are the baselines."""

HIT, FALSE_ALARM, MISSED, FOUND = "#56b4e9", "#d55e00", "#f0e442", "#ffffff"
"""Boxes: a right detection, a wrong one, an object that was missed, one that was found."""

MASKS = (
    *((0, 0, 0), (213, 94, 0), (240, 228, 66), (86, 180, 233), (204, 121, 167)),
    *((0, 158, 115), (230, 159, 0), (0, 114, 178), (255, 255, 255)),
)
"""Classes by id, RGB of 0 to 255; the first is the background, which overlays leave clear."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour ``#rrggbb``."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def web(colour: tuple[int, int, int]) -> str:
    """Return ``#rrggbb`` of red, green and blue, 0 to 255."""
    return "#" + bytes(colour).hex()
