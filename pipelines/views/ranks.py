"""Who comes where how often: the histogram of ranks over metrics, as in the paper's Figure 7."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from pipelines.results.quality_rows import metric_ranks
from pipelines.results.values import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rank_figure(table: Table) -> Figure | None:
    """Draw one bar per method, best mean rank on top: how many metrics it is 1st, 2nd, ... in.

    None unless the table is of scores and at least two methods are finished. Shared places count
    as the better one.
    """
    found = _by_mean_rank(table)
    if len(found) < 2:
        return None
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.32 * len(found)), dpi=120, layout="constrained")
    axes = figure.subplots()
    colors = colormaps["viridis"](np.linspace(0.95, 0.1, len(found)))
    left = np.zeros(len(found))
    for place in range(1, len(found) + 1):
        counts = [sum(int(rank) == place for rank in ranks) for ranks in found.values()]
        axes.barh(list(found), counts, left=left, color=colors[place - 1], label=str(place))
        left += counts
    for row, ranks in enumerate(found.values()):
        axes.text(left[row] + 0.08, row, f"{fmean(ranks):.2f}", va="center", fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="metrics (mean rank at the right)", title=table.title, xlim=(0, left.max() + 1))
    axes.legend(title="place", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    return figure


def write_ranks(table: Table, folder: Path) -> list[Path]:
    """Write the picture, and ``{method: mean rank}`` for fuse-then profile --scores."""
    figure = rank_figure(table)
    if figure is None:
        return []
    picture, numbers = (folder / f"{table.name}-ranks.{kind}" for kind in ("png", "json"))
    figure.savefig(picture)
    means = {row: round(fmean(ranks), 4) for row, ranks in _by_mean_rank(table).items()}
    numbers.write_text(json.dumps(means, indent=1) + "\n", encoding="utf-8")
    return [picture, numbers]


def _by_mean_rank(table: Table) -> dict[str, list[float]]:
    """Return each method's ranks, the best mean first."""
    if table.task != "scoring":
        return {}
    known = {row: ranks for row, ranks in metric_ranks(table).items() if ranks}
    return dict(sorted(known.items(), key=lambda item: fmean(item[1])))
