"""What disturbed pairs cost: charts and tables, also written into the store's folder of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.planning.plan import Plan
from pipelines.results.robustness import HEADLINES, curves, robustness_tables
from pipelines.store.store import Store
from pipelines.views.formats import render

if TYPE_CHECKING:
    from pipelines.views.charts.theme import Chart


def robustness_charts(plan: Plan, store: Store) -> Iterator[tuple[str, Chart]]:
    """Yield name and chart of every task that was disturbed."""
    from pipelines.views.charts.robustness import picture
    from pipelines.views.charts.theme import looks

    found = curves(plan, store)
    given = looks([(method.row, method.name) for method in plan.experiment.methods])
    for task, (headline, _) in HEADLINES.items():
        mine = [curve for curve in found if curve.task == task]
        if mine:
            title = f"{plan.experiment.name}: {task} on disturbed pairs, {headline} in percent"
            yield f"{task}-robustness", picture(mine, given, title)


def write_robustness(plan: Plan, store: Store, folder: Path) -> list[Path]:
    """Write a picture, a Markdown table and a CSV per task into `folder`, if there are curves."""
    from pipelines.views.charts.theme import png

    written = []
    for name, chart in robustness_charts(plan, store):
        written.append(folder / f"{name}.png")
        written[-1].write_bytes(png(chart))
    for table in robustness_tables(plan, store):
        for form in ("md", "csv"):
            written.append(folder / f"{table.name}.{form}")
            written[-1].write_text(render(table, form).rstrip("\n") + "\n", encoding="utf-8")
    return written
