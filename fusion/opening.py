"""Files that somebody gave us: what is no plain file, or too large, is refused before it is read.

To open a pipe waits for whoever writes to it, and to read a device never ends.
"""

from __future__ import annotations

import stat
from pathlib import Path

from fusion.errors import InputError

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def check_file(path: Path, most_bytes: int, remedy: str = "check the path") -> None:
    """Raise InputError unless `path` is a plain file, or a link to one, of at most `most_bytes`."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # a path with a zero in it is no path
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be opened ({why}); {remedy}.") from error
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise InputError(f"{path} is {kind}, not a file; {remedy}.")
    if found.st_size > most_bytes:
        raise InputError(
            f"{path} has {found.st_size:,} bytes, and at most {most_bytes:,} are read of such a "
            f"file; {remedy}."
        )


def is_file(path: Path) -> bool:
    """Whether a plain file lies at `path`; a name that no file can have is none's."""
    try:
        return path.is_file()
    except OSError:  # the name is too long, or a folder above must not be read
        return False


def read_bytes(path: Path, most_bytes: int, remedy: str = "check the path") -> bytes:
    """Return what a plain file holds; raises InputError as `check_file` does."""
    check_file(path, most_bytes, remedy)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); {remedy}.") from error


def read_text(path: Path, most_bytes: int, remedy: str = "check the path") -> str:
    """Return what a text file in UTF-8 holds, with or without a byte order mark.

    Raises InputError as `check_file` does, and for other bytes.
    """
    try:
        return read_bytes(path, most_bytes, remedy).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8; save it as one.") from error
