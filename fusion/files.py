"""Files that are whole or not there at all, and that a power cut leaves so."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

SYNCED_AT_ONCE = 8


def write_atomically(path: Path, content: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Write `content` beside `path`, then rename it into place, replacing what was there.

    Text is written as UTF-8, its newlines as they are; a function is given the open binary
    stream, which it may also seek. A reader, and whoever comes after a crash, sees the old file
    or the new one. The folder must exist. Raises OSError, and whatever the function raises, with
    the old file untouched and nothing left beside it.
    """
    # The process's number: two processes may write the same file at the same time.
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w+b") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_durably(path: Path, content: bytes | str | Callable[[BinaryIO], object]) -> None:
    """Write as `write_atomically` does, and return once a power cut cannot undo it.

    For what took long to compute: it waits for the disk.
    """

    def write(stream: BinaryIO) -> None:
        if callable(content):
            content(stream)
        else:
            stream.write(content.encode() if isinstance(content, str) else content)
        stream.flush()
        os.fsync(stream.fileno())

    write_atomically(path, write)
    sync(path.parent)


def sync(path: Path) -> None:
    """Return once a file's bytes, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Return once everything under `folder` is on disk: the files, then the folders' entries."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    files = [path for place in folders for path in place.iterdir() if path.is_file()]
    # At once: one by one, each file waits for a write of the file system's journal.
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:
        list(pool.map(sync, files))
    for place in reversed(folders):
        sync(place)


def write_history(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a training's epochs as CSV, a column per key; what a row lacks stays empty."""
    text = io.StringIO()
    keys = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())
