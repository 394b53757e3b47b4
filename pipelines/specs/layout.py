"""What a dataset layout says of itself, and where layouts are found.

A layout is one file in `pipelines/datasets/layouts`, found by its name as fusion methods are, so
that nothing here knows any of them: specs stay below the code that reads what they name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from fusion.errors import InputError, did_you_mean

HOME = "pipelines.datasets.layouts"

Size = tuple[int, int]
"""Width and height of an image, in pixels."""

Labels = tuple[dict[str, Any], Counter[str]]
"""What an image's labels add to its entry in the index, and how often they hold each class."""

Find = Callable[[Path], Mapping[str, Path]]
"""Given the place of the labels, returns the file that holds each name's; nothing is decoded."""

Read = Callable[[Path, str, Sequence[str], Size], Labels]
"""Given that file, the name, the classes and the image's size, reads and checks the labels."""


@dataclass(frozen=True)
class Layout:
    """How a dataset lies in folders, and how its labels are read; without `find` it has none.

    The folders, `labels` and `classes` are what a dataset has that names no others.
    """

    infrared: str = "infrared"
    visible: str = "visible"
    labels: str | None = None
    label_files: str = ""
    """What the files in the folder `labels` are called; "" where `labels` is itself the file."""
    task: str | None = None
    """The task that the labels serve."""
    classes: tuple[str, ...] = ()
    classes_are: str = "a list of names"
    """What to give as classes, where a dataset has to name its own."""
    find: Find | None = None
    read: Read | None = None
    joins_parts: bool = False
    """Whether a dataset may join several parts."""
    drawn: bool = False
    """Whether the embedded scenes are written in it."""

    @property
    def defaults(self) -> dict[str, Any]:
        """The keys of a dataset that the layout fills in."""
        folders = {"infrared": self.infrared, "visible": self.visible, "labels": self.labels}
        return {**folders, "classes": self.classes}


def layout_names() -> list[str]:
    """Return the names of all layouts; none of them is imported."""
    return sorted(module.name for module in iter_modules(import_module(HOME).__path__))


@cache
def layout_of(name: str) -> Layout:
    """Return a layout by its name; raises InputError for one that does not exist."""
    known = layout_names()
    if name not in known:
        raise InputError(f'there is no layout "{name}".{did_you_mean(name, known)}')
    layout: Layout = import_module(f"{HOME}.{name}").LAYOUT
    return layout


def layouts_that(have: Callable[[Layout], bool]) -> str:
    """Return the names of the layouts that `have` something, for a sentence."""
    return ", ".join(name for name in layout_names() if have(layout_of(name)))
