"""Where each number comes from: one record a cell, with the command that makes it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.planning.plan import Cell, Plan
from pipelines.results.robustness import HEADLINES
from pipelines.specs.method import MethodSpec
from pipelines.store.stage import Manifest
from pipelines.store.store import Store
from pipelines.views.report.model import CellRecord

COLUMNS = (
    *("task", "method", "seed", "score", "stage", "commit", "on", "software", "seconds"),
    *("weights", "made by"),
)
"""What a line of the page's last table holds."""
COMMANDS = {"detection": "detect", "segmentation": "segment", "scoring": "score"}


def records(plan: Plan, store: Store, words: Sequence[str]) -> tuple[CellRecord, ...]:
    """Return a record of every planned cell; `words` name the experiment on the command line."""
    return tuple(_record(cell, store, words) for cell in plan.cells)


def again(cell: Cell, words: Sequence[str]) -> str:
    """Return the command that makes this cell alone, in any store.

    The method is written out as it was resolved, as JSON, which is YAML.
    """
    method = [_bare(cell.method)]
    own = [f"seeds=[{cell.seed}]", f"methods={json.dumps(method, ensure_ascii=False)}"]
    given = [part for text in own for part in ("--set", text)]
    return shlex.join(["fuse-then", COMMANDS[cell.task], *words, *given])


def _bare(method: MethodSpec) -> dict[str, Any]:
    return method.model_dump(mode="json", exclude_defaults=True)


def _record(cell: Cell, store: Store, words: Sequence[str]) -> CellRecord:
    manifest = store.manifest(cell.result)
    facts = {"task": cell.task, "method": cell.method.row, "seed": str(cell.seed)}
    if manifest is None:
        return CellRecord(cell.title, False, facts, {}, again(cell, words))
    facts |= {
        "score": _score(cell, manifest.metrics),
        "stage": cell.result.title,
        "commit": str(manifest.commit),
        "on": _machine(manifest),
        "seconds": _seconds(cell, store),
        "weights": _weights(cell, store),
        "made by": str(manifest.command),
    }
    return CellRecord(cell.title, True, facts, manifest.versions, again(cell, words))


def _score(cell: Cell, metrics: Mapping[str, Any]) -> str:
    if cell.task not in HEADLINES:
        return f"{len(metrics['metrics'])} metrics"
    name, key = HEADLINES[cell.task]
    return "-" if metrics[key] is None else f"{name} {100 * metrics[key]:.2f}"


def _machine(manifest: Manifest) -> str:
    return f"{manifest.device} ({manifest.processor})"


def _seconds(cell: Cell, store: Store) -> str:
    """Return the time of the cell's own stages: training, where there is one, and testing."""
    made = [store.manifest(stage) for stage in cell.steps[-1].stages]
    return f"{sum(m.seconds for m in made if m is not None):.0f}"


def _weights(cell: Cell, store: Store) -> str:
    """Return the beginning of the digest of the weights that were tested, if there were any."""
    training = cell.steps[-1].stages[0]
    if not training.kind.name.startswith("train"):
        return "-"
    manifest = store.manifest(training)
    return "removed" if manifest is None else str(manifest.digest)[:16]


Versions = tuple[tuple[str, str], ...]
"""Packages and their versions, by name."""


def software(cells: Sequence[CellRecord]) -> dict[Versions, str]:
    """Return a letter for each distinct set of versions, in the order of its first cell."""
    sets: dict[Versions, str] = {}
    for cell in cells:
        if cell.versions:
            sets.setdefault(_key(cell.versions), _letters(len(sets)))
    return sets


def rows(cells: Sequence[CellRecord]) -> list[list[str]]:
    """Return each cell's line of `COLUMNS`."""
    sets = software(cells)
    return [_row(cell, sets) for cell in cells]


def _row(cell: CellRecord, sets: Mapping[Versions, str]) -> list[str]:
    letter = sets[_key(cell.versions)] if cell.versions else ""
    facts = {"score": "not finished", "software": letter, **cell.facts}
    return [facts.get(name, "") for name in COLUMNS]


def _key(versions: Mapping[str, str]) -> Versions:
    return tuple(sorted(versions.items()))


def _letters(number: int) -> str:
    first, second = divmod(number, 26)
    return (chr(64 + first) if first else "") + chr(65 + second)
