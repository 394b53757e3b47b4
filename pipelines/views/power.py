"""What designs of an experiment would see, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.results.conclusions.designs import Design, Wanted, curve

SHOWN = (2, 3, 4, 5, 7, 10, 15, 20, 35, 50)
"""Seeds at which a curve is drawn."""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of words as lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([one.rjust(width) for one, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row) for row in padded]


def write_power(
    found: Sequence[Design], wanted: Wanted, title: str, folder: Path, name: str
) -> list[Path]:
    """Write the smallest difference against seeds, a curve a design, as SVG and PNG."""
    from pipelines.views.charts.designs.seeds import power_chart
    from pipelines.views.charts.theme import write_both

    curves = {design.title: curve(design, wanted, SHOWN) for design in found}
    chart = power_chart(curves, SHOWN, wanted.difference, title)
    folder.mkdir(parents=True, exist_ok=True)
    return write_both(chart, folder / name)
