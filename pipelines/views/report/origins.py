"""Where each number comes from: one record a cell, with the command that makes it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fusion.errors import without_folders
from pipelines.planning.plan import Cell
from pipelines.results.finished import FinishedCell, Results
from pipelines.specs.method import MethodSpec
from pipelines.views.report.model import CellRecord

COLUMNS = (
    *("task", "method", "seed", "score", "stage", "commit", "on", "software", "seconds"),
    *("weights", "made by"),
)
"""What a line of the page's last table holds."""


def records(results: Results) -> tuple[CellRecord, ...]:
    """Return a record of every planned cell."""
    words = results.plan.experiment.words
    done = {one.cell: one for one in results.cells}
    return tuple(_record(cell, done.get(cell), words) for cell in results.plan.cells)


def again(cell: Cell, words: Sequence[str]) -> str:
    """Return the command that makes this cell alone, in any store.

    `words` name the experiment. The method is written out as it was resolved, as JSON, which is
    YAML.
    """
    method = [_bare(cell.method)]
    own = [f"seeds=[{cell.seed}]", f"methods={json.dumps(method, ensure_ascii=False)}"]
    given = [part for text in own for part in ("--set", text)]
    return shlex.join(["fuse-then", cell.task.command, *words, *given])


def _bare(method: MethodSpec) -> dict[str, Any]:
    return method.model_dump(mode="json", exclude_defaults=True)


def _record(cell: Cell, finished: FinishedCell | None, words: Sequence[str]) -> CellRecord:
    facts = {
        "task": cell.task.name,
        "method": cell.method.row,
        "seed": cell.lot.removeprefix("seed "),
    }
    if finished is None:
        return CellRecord(cell.title, False, facts, {}, again(cell, words))
    manifest = finished.result.manifest
    facts |= {
        "score": _score(finished),
        "stage": cell.result.title,
        "commit": manifest.commit,
        "on": f"{manifest.device} ({manifest.processor})",
        "seconds": f"{finished.seconds:.0f}",
        "weights": _weights(finished),
        "made by": without_folders(manifest.command),
    }
    return CellRecord(cell.title, True, facts, manifest.versions, again(cell, words))


def _score(finished: FinishedCell) -> str:
    if finished.cell.task.per_image:
        return f"{len(finished.logged)} metrics"
    share = finished.headline
    return "-" if share is None else f"{finished.cell.task.headline} {100 * share:.2f}"


def _weights(finished: FinishedCell) -> str:
    """Return the beginning of the digest of the weights that were tested, if there were any."""
    own = finished.cell.steps[-1].stages
    if len(own) == 1:
        return "-"
    digests = [o.manifest.digest for o in finished.stages if o.stage.key == own[0].key]
    return digests[0][:16] if digests else "removed"


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
