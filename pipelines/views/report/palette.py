"""One look per method, the same in every figure: colour, marker and dashes.

The colours are told apart with any of the common colour blindnesses (Okabe and Ito 2008, without
their yellow, and Tol's muted set); markers and dashes differ as well, so that neither a grey print
nor an eleventh method is ambiguous. The two source images, which are the baselines, are grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07500"),
    *("#56b4e9", "#882255", "#999933", "#332288", "#aa4499"),
)
MARKERS = ("circle", "square", "triangle", "diamond", "point", "hourglass", "slab")
"""All have an inside, so that each can be drawn hollow."""
DASHES = ("", "7 3", "2 2", "7 3 2 3")


@dataclass(frozen=True)
class Look:
    """How a method is drawn; `dash` is an SVG dash array, empty for a solid line."""

    colour: str
    marker: str
    dash: str


Looks = Mapping[str, Look]
SOURCES = {"infrared": Look("#333333", "circle", ""), "visible": Look("#7d7d7d", "square", "7 3")}


def looks(methods: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """Return the look of each row of ``(row's title, method's name)``, by the row's title."""
    found: dict[str, Look] = {}
    number = 0
    for row, name in methods:
        if name in SOURCES:
            found[row] = SOURCES[name]
            continue
        dash = DASHES[number % len(DASHES)]
        found[row] = Look(COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], dash)
        number += 1
    return found


def shade(share: float) -> str:
    """Return a colour from white (0) to dark blue (1), for a cell of a matrix."""
    share = min(max(share, 0.0), 1.0)
    ends = ((255, 255, 255), (8, 69, 130))
    mixed = (round(a + (b - a) * share**0.8) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
