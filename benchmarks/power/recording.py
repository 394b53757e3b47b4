"""Runs a command and writes down every change of files under a folder, then plays it again."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.power.disk import Disk, File, Folder

SOURCE = Path(__file__).with_name("recorder.c")
HEAD = struct.Struct("=7Q")


class Call(NamedTuple):
    """One call of the operating system: when it was done, what it was, and of what."""

    nanoseconds: int
    what: str
    inode: int
    offset: int
    path: str
    to: str
    data: bytes


def record(
    command: Sequence[str], environment: Mapping[str, str], root: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command, and write down what it and its children do under `root`; needs a C compiler.

    Raises OSError or CalledProcessError where the recorder cannot be built.
    """
    library = folder / "recorder.so"
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(build, check=True)
    log = folder / "log"
    log.mkdir()
    own = {"POWER_ROOT": str(root), "POWER_LOG": str(log), "LD_PRELOAD": str(library)}
    return subprocess.run(
        command, env={**environment, **own}, capture_output=True, text=True, check=False
    )


def calls(folder: Path) -> list[Call]:
    """Return what all processes did, in the order in which it was done."""
    found = [call for path in sorted(folder.joinpath("log").iterdir()) for call in _read(path)]
    return sorted(found, key=lambda call: call.nanoseconds)


def _read(path: Path) -> Iterator[Call]:
    content = path.read_bytes()
    at = 0
    while at + HEAD.size <= len(content):
        when, what, inode, offset, first, second, length = HEAD.unpack_from(content, at)
        at += HEAD.size
        parts = []
        for size in (first, second, length):
            parts.append(content[at : at + size])
            at += size
        names = [os.path.normpath(os.fsdecode(part)) if part else "" for part in parts[:2]]
        yield Call(when, chr(what), inode, offset, *names, parts[2])


class Player:
    """Does to a `Disk` what calls did to the files under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.disk = Disk()
        self._known: dict[int, File | Folder] = {}
        self.unknown = 0

    def play(self, call: Call) -> None:
        """Do one call; of files that nobody has seen being made it is counted, and left out."""
        try:
            self._play(call)
        except KeyError:
            self.unknown += 1

    def _play(self, call: Call) -> None:
        disk, path = self.disk, self._inside(call.path)
        if call.what == "M" and path is not None:
            self._known[call.inode] = disk.root if path == "" else Folder()
            if path:
                disk.set(path, self._known[call.inode])
        elif call.what == "O" and path is not None:
            node = disk.find(path)
            if not isinstance(node, File):
                node = File()
                disk.set(path, node)
            if call.offset:
                node.data.clear()
            self._known[call.inode] = node
        elif call.what in "WTS":
            self._bytes(call)
        elif call.what in "RLU":
            self._name(call.what, path, self._inside(call.to))

    def _bytes(self, call: Call) -> None:
        node = self._known[call.inode]
        if call.what == "S":
            self.disk.sync(node)
        elif isinstance(node, File) and call.what == "T":
            node.data[:] = bytes(node.data[: call.offset]).ljust(call.offset, b"\0")
        elif isinstance(node, File):
            node.data.extend(bytes(max(0, call.offset - len(node.data))))
            node.data[call.offset : call.offset + len(call.data)] = call.data

    def _name(self, what: str, path: str | None, to: str | None) -> None:
        disk = self.disk
        if what == "U" and path:
            disk.remove(path)
        elif what == "R" and path and to:
            disk.rename(path, to)
        elif path and to:
            node = disk.find(path)
            if node is None:
                raise KeyError(path)
            disk.set(to, node)

    def _inside(self, path: str) -> str | None:
        """Return a path relative to the root, None for one elsewhere."""
        if path != self._root and not path.startswith(f"{self._root}/"):
            return None
        return path[len(self._root) + 1 :]
