"""What disturbed pairs cost: charts and tables, also written into the store's folder of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.files import write_atomically
from pipelines.results.finished import Results
from pipelines.results.robustness import curves
from pipelines.results.undersampled import disturbed_tables
from pipelines.views.formats import render

if TYPE_CHECKING:
    from pipelines.views.charts.theme import Chart


def robustness_charts(results: Results) -> Iterator[tuple[str, Chart]]:
    """Yield name and chart of every task that was disturbed."""
    found, experiment = curves(results), results.plan.experiment
    if not found:
        return
    from pipelines.views.charts.robustness import picture
    from pipelines.views.charts.theme import looks

    given = looks([(method.row, method.name) for method in experiment.methods])
    for task in results.plan.tasks:
        mine = [curve for curve in found if curve.task == task.name]
        if mine:
            title = f"{experiment.name}: {task.name} on disturbed pairs, {task.headline} in percent"
            yield f"{task.name}-robustness", picture(mine, given, title)


def write_robustness(results: Results, folder: Path) -> list[Path]:
    """Write a picture, a Markdown table and a CSV per task into `folder`, if there are any."""
    written = []
    for name, chart in robustness_charts(results):
        from pipelines.views.charts.theme import png

        written.append(folder / f"{name}.png")
        write_atomically(written[-1], png(chart))
    for table in disturbed_tables(results):
        for form in ("md", "csv"):
            written.append(folder / f"{table.name}.{form}")
            write_atomically(written[-1], render(table, form).rstrip("\n") + "\n")
    return written
