"""Under which conditions rows were made, where these differ: numbers depend on them a little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.results.finished import FinishedCell
from pipelines.store.stage import Manifest

ROWS = 4
"""How many rows a condition names; the rest is counted."""


def differing_conditions(rows: Mapping[str, Sequence[FinishedCell]]) -> tuple[str, ...]:
    """Return a sentence where the finished cells of the rows were made under several conditions.

    Conditions are the type of device, torch's threads on a processor, and torch's version.
    """
    found: dict[str, list[str]] = {}
    for row, cells in rows.items():
        made = (stage.manifest for one in cells for stage in one.stages)
        for words in sorted({_condition(manifest) for manifest in made}):
            found.setdefault(words, []).append(row)
    if len(found) < 2:
        return ()
    parts = "; ".join(f"{words}: {_few(of)}" for words, of in found.items())
    return (f"Made under different conditions, on which numbers depend a little: {parts}.",)


def _condition(manifest: Manifest) -> str:
    device = manifest.device.partition(":")[0]
    threads = f" of {manifest.threads} threads" if device == "cpu" else ""
    return f"{device}{threads}, torch {manifest.versions.get('torch', 'unknown')}"


def _few(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - ROWS} more" if rows[ROWS:] else ""
    return ", ".join(rows[:ROWS]) + more
