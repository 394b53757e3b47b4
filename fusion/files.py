"""Files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO


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


def write_history(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a training's epochs as CSV, a column per key; what a row lacks stays empty."""
    text = io.StringIO()
    keys = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())
