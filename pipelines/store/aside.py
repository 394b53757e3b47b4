"""Sets aside what is broken in a store, with a sentence that says why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from fusion.files import sync, write_durably

BROKEN, WHY = "broken", "why.txt"
"""Where broken stages are set aside, and the file in each that says what was wrong."""


def set_aside(root: Path, folder: Path, why: str) -> Path:
    """Move the folder of a stage whose lock is held to ``root/broken``, with a sentence in it."""
    place = _aside(root, folder)
    folder.rename(place)
    _explain(place, why)
    sync(folder.parent)
    return place


def set_files_aside(root: Path, folder: Path, names: Iterable[str], why: str) -> Path:
    """Move files of a stage whose lock is held to ``root/broken``, with a sentence beside them."""
    place = _aside(root, folder)
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(place / name)
        sync((folder / name).parent)
    _explain(place, why)
    return place


def _aside(root: Path, folder: Path) -> Path:
    """Return a place that is not taken, in a folder that is there."""
    name = f"{folder.parent.name}-{folder.name}"
    places = (root / BROKEN / (f"{name}-{n}" if n else name) for n in count())
    place = next(place for place in places if not place.exists())
    place.parent.mkdir(exist_ok=True)
    return place


def _explain(place: Path, why: str) -> None:
    write_durably(place / WHY, f"{why}\n")
    sync(place.parent)
