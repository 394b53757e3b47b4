"""A commit on a disk that loses power: no stage is believed that is not whole.

`python -m benchmarks.power_cuts` does the same to a whole run, call by call.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stages import facts

from benchmarks.power.disk import Disk, File, Folder, Node
from benchmarks.power_cuts import write
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import MANIFEST, Store

CUTS = 3
"""How many disks are thought of at each moment."""
IMAGES = {f"images/{n}.png": bytes([n]) * 50 for n in range(4)}


class Watched:
    """Keeps a `Disk` equal to a folder: before each call of some functions it is looked through."""

    def __init__(self, root: Path) -> None:
        self.root, self.disk = root, Disk()
        self._known: dict[int, Node] = {}
        self.left: list[dict[str, bytes | None]] = []

    def catch_up(self) -> None:
        """Do to the disk what has been done to the folder since, and cut its power."""
        now = {str(p.relative_to(self.root)): p for p in sorted(self.root.rglob("*"))}
        for path in reversed(self.disk.now()):
            if path not in now:
                self.disk.remove(path)
        for path, place in now.items():
            self._see(path, place)
        self.left += [self.disk.after_cut(seed) for seed in range(CUTS)]

    def _see(self, path: str, place: Path) -> None:
        number = place.stat().st_ino
        node = self._known.setdefault(number, Folder() if place.is_dir() else File())
        if self.disk.find(path) is not node:
            self.disk.set(path, node)
        if isinstance(node, File) and node.data != place.read_bytes():
            node.data[:] = place.read_bytes()

    def synced(self, descriptor: int) -> None:
        """Let the disk know of a call of fsync."""
        self.catch_up()
        number = os.fstat(descriptor).st_ino
        node = self.disk.root if number == self.root.stat().st_ino else self._known[number]
        self.disk.sync(node)

    def renamed(self, path: Path, to: Path) -> None:
        """Let the disk know of a call of rename, which is one change."""
        self.catch_up()
        self.disk.rename(str(path.relative_to(self.root)), str(to.relative_to(self.root)))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watched]:
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def watch(store: Store, *, synced: bool = True) -> Watched:
        one = Watched(store.root)

        def sync(descriptor: int) -> None:
            if synced:
                one.synced(descriptor)
            fsync(descriptor)

        def moved(move: Callable[[Path, Any], Path]) -> Callable[[Path, Any], Path]:
            def moving(path: Path, to: Any) -> Path:
                one.renamed(path, Path(to))
                return move(path, to)

            return moving

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(Path, "rename", moved(rename))
        monkeypatch.setattr(Path, "replace", moved(replace))
        return one

    return watch


def finish(store: Store, stage: Stage) -> None:
    with store.claim(stage, keep=False) as out:
        (out / "images").mkdir()
        for name, content in IMAGES.items():
            (out / name).write_bytes(content)
        store.commit(stage, facts())


def believed(left: list[dict[str, bytes | None]], stage: Stage, place: Path) -> list[bool]:
    """Return, of each disk on which the stage is believed, whether its images are whole."""
    whole, folder = [], f"stages/{stage.title}"
    for tree in left:
        if tree.get(f"{folder}/{MANIFEST}") is None:
            continue
        write(tree, place)
        store = Store(place)
        if store.manifest(stage) is not None:  # nothing else is looked at
            found = {name: tree.get(f"{folder}/{name}") for name in IMAGES}
            whole.append(found == IMAGES)
        shutil.rmtree(place)
    return whole


@pytest.mark.parametrize("again", [False, True])
def test_no_stage_is_believed_that_is_not_whole(
    tmp_path: Path, watched: Callable[..., Watched], again: bool
) -> None:
    store, stage = Store(tmp_path / "store"), Stage(Kind("fuse", 1, "", ("images",)), {})
    disk = watched(store)
    finish(store, stage)
    if again:  # in place of a finished one
        finish(store, stage)
    disk.catch_up()
    found = believed(disk.left, stage, tmp_path / "cut")
    assert set(found) == {True}
    assert len(found) < len(disk.left)
    last = disk.left[-CUTS:]
    assert len(believed(last, stage, tmp_path / "cut")) == CUTS  # once committed it stays


def test_without_syncing_some_are_believed(tmp_path: Path, watched: Callable[..., Watched]) -> None:
    store, stage = Store(tmp_path / "store"), Stage(Kind("fuse", 1, "", ("images",)), {})
    disk = watched(store, synced=False)
    finish(store, stage)
    disk.left = [disk.disk.after_cut(seed) for seed in range(200)]
    assert False in believed(disk.left, stage, tmp_path / "cut")
