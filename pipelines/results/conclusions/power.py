"""Which differences a table's design could have seen, in a sentence beneath it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipelines.results.conclusions.merit import Lent
from pipelines.results.conclusions.wording import drawn, listed
from pipelines.results.statistics.power import POWER, seen_by
from pipelines.results.values import Measured, Table
from pipelines.tasks.scoring import MEAN_RANK
from pipelines.tasks.task import task_of


def power_note(
    table: Table, measured: Mapping[str, Measured], known: Lent, alpha: float
) -> str | None:
    """Return the smallest differences that these images and seeds show with 80 % probability.

    `known` are the seed variances in use, by column, and `alpha` the level at which methods are
    left out. None where nothing is known of chance.
    """
    found = []
    compared = task_of(table.task).compared or table.columns
    for place, column in enumerate(table.columns):
        if column not in compared or column == MEAN_RANK:
            continue
        samples = [
            one.sample(place)
            for one in measured.values()
            if np.isfinite(one.points[:, place]).all()
        ]
        least = seen_by(samples, known.get(column), alpha=alpha)
        if least is not None:
            found.append((column, least))
    if not found:
        return None
    numbers = [f"{least[0]:.{table.digits}f} in {column}" for column, least in found]
    first = next(iter(measured.values()))
    told = (
        f"Power: of two methods on {drawn(first)}, a difference of {listed(numbers)} or more is "
        f"seen in {100 * POWER:g} of 100 such experiments (median pair)"
    )
    if not any(one.degrees for one in known.values()):
        networks = any(not one.fixed for one in measured.values())
        return f"{told}, of these trained networks alone." if networks else f"{told}."
    limits = [f"{least[1]:.{table.digits}f} in {column}" for column, least in found]
    return f"{told}; with any number of seeds, {listed(limits)}."
