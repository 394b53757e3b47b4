"""Who comes where how often: the histogram of ranks over metrics, as in the paper's Figure 7."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from fusion.files import write_atomically
from pipelines.results.rows.quality import metric_ranks
from pipelines.results.values import Table
from pipelines.tasks.task import task_of

if TYPE_CHECKING:
    from pipelines.views.charts.theme import Chart


def rank_chart(table: Table) -> Chart | None:
    """Draw one bar per method, best mean rank on top: how many metrics it is 1st, 2nd, ... in.

    None unless the table is of scores and at least two methods are finished. Shared places count
    as the better one.
    """
    ranks = _by_mean_rank(table)
    if len(ranks) < 2:
        return None
    from pipelines.views.charts.matrices import rank_bars

    return rank_bars(ranks, table.title)


def write_ranks(table: Table, folder: Path) -> list[Path]:
    """Write the picture, and ``{method: mean rank}`` for fuse-then profile --scores."""
    chart = rank_chart(table)
    if chart is None:
        return []
    from pipelines.views.charts.theme import png

    picture, numbers = (folder / f"{table.name}-ranks.{kind}" for kind in ("png", "json"))
    write_atomically(picture, png(chart))
    means = {row: round(fmean(ranks), 4) for row, ranks in _by_mean_rank(table).items()}
    write_atomically(numbers, json.dumps(means, indent=1) + "\n")
    return [picture, numbers]


def _by_mean_rank(table: Table) -> dict[str, list[float]]:
    """Return each method's ranks, the best mean first."""
    if not task_of(table.task).per_image:
        return {}
    known = {row: ranks for row, ranks in metric_ranks(table).items() if ranks}
    return dict(sorted(known.items(), key=lambda item: fmean(item[1])))
