"""The experiment that lends a seed variance to methods of one training, found before any of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.errors import InputError, did_you_mean
from fusion.opening import read_text
from pipelines.planning.memory import recall
from pipelines.planning.plan import Cell, Plan
from pipelines.specs.experiment import ExperimentSpec
from pipelines.store.store import Store

FROM = "from "
Tables = Sequence[Mapping[str, Any]]
"""As `fuse-then table --format json` writes them."""


@dataclass(frozen=True, eq=False)
class Lender:
    """What lends: a remembered plan with its finished cells alone, or tables out of a file."""

    name: str
    plan: Plan | None = None
    tables: Tables = ()

    def cells(self, task: str) -> list[Cell]:
        """Return the finished cells of a task."""
        every = self.plan.cells if self.plan is not None else ()
        return [cell for cell in every if cell.task.name == task]


def lender(experiment: ExperimentSpec, store: Store) -> Lender | None:
    """Return what lends an experiment its seed variance; None where it asks for none.

    Raises InputError where that is not in the store, cannot be read, or has one seed alone.
    """
    if experiment.seed_variance is None:
        return None
    name = experiment.seed_variance.removeprefix(FROM).strip()
    found = _of_file(Path(name)) if name.endswith(".json") else _of_store(name, store)
    lacking = [task for task in experiment.sections if not _lends(found, task)]
    if len(lacking) == len(experiment.sections):
        raise InputError(
            f'seed_variance: "{name}" has no method of two finished seeds in '
            f"{' or '.join(lacking)}, and so no seed variance to lend; finish more of its seeds, "
            f"name another experiment, or leave seed_variance away."
        )
    return found


def _of_store(name: str, store: Store) -> Lender:
    plans = {plan.experiment.name: plan for plan in recall(store)}
    mine = [plan for plan in recall(store) if plan.experiment.name == name]
    if not mine:
        hint = did_you_mean(name, list(plans))
        raise InputError(
            f'seed_variance: the store {store.root} remembers no experiment "{name}".{hint} Run it '
            f"with several seeds first, or give a file that fuse-then table --format json wrote."
        )
    return max((_finished(plan, store) for plan in mine), key=_number)


def _finished(plan: Plan, store: Store) -> Lender:
    cells = tuple(cell for cell in plan.cells if store.manifest(cell.result) is not None)
    return Lender(plan.experiment.name, Plan(plan.experiment, cells, ()))


def _number(found: Lender) -> int:
    return len(found.plan.cells) if found.plan is not None else 0


def _of_file(path: Path) -> Lender:
    try:
        tables = json.loads(read_text(path, MOST_BYTES))
        found = tables if isinstance(tables, list) else [tables]
        rows = [row for table in found for row in table["rows"] if table["task"]]
        known = all("kind" in row and all(map(_is_value, row["values"])) for row in rows)
    except (InputError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(_UNREADABLE.format(path=path)) from error
    if not known:
        raise InputError(_UNREADABLE.format(path=path))
    return Lender(path.name, tables=found)


def _is_value(value: Any) -> bool:
    if value is None:
        return True
    sd, seeds = value["sd"], value["seeds"]
    return (sd is None or type(sd) in (int, float)) and type(seeds) is int


MOST_BYTES = 32_000_000
_UNREADABLE = (
    "seed_variance: {path} cannot be read as tables; give a file that fuse-then table EXPERIMENT "
    "--format json wrote, or the name of an experiment in the store."
)


def _lends(found: Lender, task: str) -> bool:
    """Return whether a method has two results of different seeds."""
    keys: dict[str, set[str]] = {}
    for cell in found.cells(task):
        keys.setdefault(cell.method.row, set()).add(cell.result.key)
    values = [
        value
        for table in found.tables
        if table["task"] == task
        for row in table["rows"]
        for value in row["values"]
    ]
    several = any(value and value["sd"] is not None and value["seeds"] > 1 for value in values)
    return several or any(len(own) > 1 for own in keys.values())
