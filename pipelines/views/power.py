"""What designs of an experiment would see, and how its seeds were raced, as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.files import write_atomically
from pipelines.results.conclusions.designs import Design, Wanted, curve
from pipelines.results.finished import Results
from pipelines.results.rounds.runners import runners

if TYPE_CHECKING:
    from pipelines.views.charts.theme import Chart

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


def race_charts(results: Results) -> Iterator[tuple[str, Chart]]:
    """Yield a chart for each task whose seeds were raced, with the name of its file."""
    known = [(task, runners(results, task)) for task in results.plan.tasks]
    for task, went in known:
        if went:
            from pipelines.views.charts.designs.seeds import race_chart
            from pipelines.views.charts.theme import looks

            given = looks([(m.row, m.name) for m in results.plan.experiment.methods])
            title = f"{results.plan.experiment.name}: {task.headline} in percent"
            yield f"{task.name}-rounds", race_chart(went, title, given, key=True)


def write_races(results: Results, folder: Path) -> list[Path]:
    """Write a picture of each race."""
    written = []
    for name, chart in race_charts(results):
        from pipelines.views.charts.theme import png

        written.append(folder / f"{name}.png")
        write_atomically(written[-1], png(chart))
    return written
