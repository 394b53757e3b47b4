"""Pictures of our tables against the paper's printed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusion.files import write_atomically
from pipelines.results.values import Table
from pipelines.tasks.task import task_of


def write_printed(table: Table, methods: Sequence[tuple[str, str]], folder: Path) -> list[Path]:
    """Write a picture of a table, or one a column where each has its unit; none without cells.

    `methods` are the titles of the rows and the names of their methods.
    """
    if all(row.kind != "paper" for row in table.rows):
        return []  # the charts' toolkit takes a second to load
    from pipelines.views.charts.printed import printed_charts
    from pipelines.views.charts.theme import looks, png

    written = []
    drawn = printed_charts(table, looks(methods), task_of(table.task).per_image)
    for name, chart in drawn.items():
        path = folder / f"{'-'.join(filter(None, (table.name, 'paper', name)))}.png"
        write_atomically(path, png(chart))
        written.append(path)
    return written
