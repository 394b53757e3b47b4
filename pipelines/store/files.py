"""Digests of files and folders by their bytes, remembered between runs."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fusion.errors import InputError
from pipelines.store.digests import digest


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


Answer = TypeVar("Answer")
DAMAGED = ("file is not a database", "malformed", "no such table", "no such column")
"""How SQLite tells of a torn file."""
SETTLED_NS = 50_000_000


def settled(changed_ns: int) -> bool:
    """Whether a file has been left alone for so long that its next change shows in its time.

    File systems count time in steps of some milliseconds: two changes in one look like one.
    """
    return time.time_ns() - changed_ns > SETTLED_NS


class FileDigests:
    """sha256 of files, remembered by path, size and time of change in one SQLite file.

    The time is the inode's, which no tool sets back: a copy that keeps the modification time of
    what it replaces is still seen.
    """

    def __init__(self, database: Path, say: Callable[[str], None] = print) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        self._database, self._say, self._usable = database, say, True
        try:
            self._sound(self._create)
        except sqlite3.Error as error:
            self._do_without(error)

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the digest of each file; only new and changed files are read.

        Where the database cannot be read or written, all files are, and a line says so. Raises
        InputError for a file that cannot be opened, such as a broken link.
        """
        wanted = list(paths)
        if self._usable:
            try:
                return self._sound(lambda: self._of(wanted))
            except sqlite3.Error as error:
                self._do_without(error)
        return _digests(wanted)

    def _do_without(self, error: sqlite3.Error) -> None:
        self._usable = False
        self._say(f"  left out  {self._database} ({error}): no digest is kept, all files are read")

    def _sound(self, ask: Callable[[], Answer]) -> Answer:
        """Return what `ask` does; once more, of an empty database, where it is damaged."""
        try:
            return ask()
        except sqlite3.DatabaseError as error:
            if not any(words in str(error) for words in DAMAGED):
                raise
            self._say(f"  broken  {self._database} ({error}); it is made again, all files are read")
            for suffix in ("", "-journal"):
                Path(f"{self._database}{suffix}").unlink(missing_ok=True)
            self._create()
            return ask()

    def _create(self) -> None:
        with self._connect() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, "
                "changed_ns INTEGER, sha256 TEXT, checksum INTEGER)"
            )

    def _of(self, paths: Sequence[Path]) -> dict[Path, str]:
        states = {path: _state(path) for path in paths}
        with self._connect() as connection:
            rows = connection.execute("SELECT path, size, changed_ns, sha256, checksum FROM files")
            known = {row[0]: row[1:4] for row in rows if _checksum(row[:4]) == row[4]}
        result = {
            path: known[str(path)][2]
            for path, state in states.items()
            if known.get(str(path), ())[:2] == state
        }
        missing = [path for path in states if path not in result]
        if not missing:
            return result
        fresh = _digests(missing)
        entries = [(str(path), *states[path], sha) for path, sha in fresh.items()]
        with self._connect() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(*row, _checksum(row)) for row in entries],
            )
        return {**result, **fresh}

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._database, timeout=60, isolation_level="IMMEDIATE")
        with contextlib.closing(connection), connection:
            yield connection


def _checksum(row: tuple[object, ...]) -> int:
    """Return what a row is checked by: SQLite believes what lies in a page of its file."""
    return zlib.crc32(repr(row).encode(errors="replace"))


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the file.") from error
    if not stat.S_ISREG(state.st_mode):  # to read a pipe or a device never ends
        raise InputError(f"{path} is no plain file; replace it.")
    return state.st_size, state.st_ctime_ns


def _readable_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the file.") from error


def _digests(paths: Sequence[Path]) -> dict[Path, str]:
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(paths, pool.map(_readable_digest, paths), strict=True))


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """Return one digest for files and folders `names` under `root`, by relative path and bytes."""
    files = product_files(root, names)
    return digest([(path.relative_to(root).as_posix(), file_digest(path)) for path in files])


def product_files(root: Path, names: Iterable[str]) -> list[Path]:
    """Return the files `names` and those within the folders `names`, in the order of a digest."""
    files: list[Path] = []
    for name in names:
        place = root / name
        files += sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    return files
