"""A disk that may lose power: what was synced is kept, and of all else anything may be lost.

Stricter than most file systems: a file's bytes last once the file is synced, a name once its
folder is, and neither brings the other. A file that is not synced may be empty, cut, full of zeros,
old or whole; of the changes of names that are not synced any may be undone, in spite of others.
A rename is one change: it is undone whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(eq=False)
class File:
    """The bytes as programs see them, and as they were when they were last synced."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes | None = None

    def sync(self) -> None:
        """Make the bytes last."""
        if self.synced is None or self.synced != self.data:
            self.synced = bytes(self.data)

    def after_cut(self, lots: random.Random) -> bytes:
        """Return what may be left."""
        if self.synced is not None and self.synced == self.data:
            return self.synced
        whole = bytes(self.data)
        cut = whole[: lots.randrange(len(whole) + 1)]
        zeros = cut + bytes(len(whole) - len(cut))
        return lots.choice([b"", cut, zeros, whole, self.synced or b""])


@dataclass(eq=False)
class Folder:
    """Names as programs see them, and as they are on disk."""

    now: dict[str, Node] = field(default_factory=dict)
    disk: dict[str, Node] = field(default_factory=dict)


Node: TypeAlias = File | Folder


@dataclass(eq=False)
class Change:
    """Names that one call sets, None where it takes them away; whether they will last."""

    names: list[tuple[Folder, str, Node | None]]
    lasts: bool = False

    def apply(self, entries: dict[Folder, dict[str, Node]]) -> None:
        """Set the names in what folders hold."""
        for folder, name, node in self.names:
            here = entries.setdefault(folder, dict(folder.disk))
            if node is None:
                here.pop(name, None)
            else:
                here[name] = node


class Disk:
    """Files by path, relative to a root that is there from the start."""

    def __init__(self) -> None:
        self.root = Folder()
        self._changes: list[Change] = []

    def find(self, path: str) -> Node | None:
        """Return what lies at a path, None where nothing does."""
        node: Node | None = self.root
        for name in filter(None, path.split("/")):
            node = node.now.get(name) if isinstance(node, Folder) else None
        return node

    def _entry(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self.find(above)
        if not isinstance(folder, Folder):
            raise KeyError(f"{above} is no folder of the model")
        return folder, name

    def set(self, path: str, node: Node) -> None:
        """Give a file or folder a name, in place of what had it."""
        self._change((*self._entry(path), node))

    def remove(self, path: str) -> None:
        """Take a name away."""
        self._change((*self._entry(path), None))

    def rename(self, path: str, to: str) -> None:
        """Move a file or folder."""
        folder, name = self._entry(path)
        self._change((folder, name, None), (*self._entry(to), folder.now[name]))

    def _change(self, *names: tuple[Folder, str, Node | None]) -> None:
        for folder, name, node in names:
            if node is None:
                folder.now.pop(name, None)
            else:
                folder.now[name] = node
        self._changes.append(Change(list(names)))

    def sync(self, node: Node) -> None:
        """Make the bytes of a file, or the names in a folder, last."""
        if isinstance(node, File):
            node.sync()
            return
        for change in self._changes:
            change.lasts |= any(folder is node for folder, _, _ in change.names)
        self._settle()

    def _settle(self) -> None:
        """Put changes that last on the disk, unless one before them is about the same names."""
        left, open_names = [], set()
        for change in self._changes:
            names = {(id(folder), name) for folder, name, _ in change.names}
            if change.lasts and not names & open_names:
                entries: dict[Folder, dict[str, Node]] = {}
                change.apply(entries)
                for folder, here in entries.items():
                    folder.disk = here
            else:
                left.append(change)
                open_names |= names
        self._changes = left

    def after_cut(self, seed: int) -> dict[str, bytes | None]:
        """Return what may be left when the power goes now: by path bytes, of folders None."""
        lots = random.Random(seed)
        kept = lots.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        entries: dict[Folder, dict[str, Node]] = {}
        for change in self._changes:
            if change.lasts or lots.random() < kept:
                change.apply(entries)
        return dict(_walk(self.root, entries, lots, ""))

    def now(self) -> dict[str, bytes | None]:
        """Return what programs see."""
        return dict(_seen(self.root, ""))


def _walk(
    folder: Folder, entries: Mapping[Folder, Mapping[str, Node]], lots: random.Random, path: str
) -> Iterator[tuple[str, bytes | None]]:
    for name, node in sorted(entries.get(folder, folder.disk).items()):
        if isinstance(node, File):
            yield f"{path}{name}", node.after_cut(lots)
        else:
            yield f"{path}{name}", None
            yield from _walk(node, entries, lots, f"{path}{name}/")


def _seen(folder: Folder, path: str) -> Iterator[tuple[str, bytes | None]]:
    for name, node in sorted(folder.now.items()):
        if isinstance(node, File):
            yield f"{path}{name}", bytes(node.data)
        else:
            yield f"{path}{name}", None
            yield from _seen(node, f"{path}{name}/")
