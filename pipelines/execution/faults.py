"""What the machine refuses (room, rights, a sound disk), said in a sentence."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EIO: "look after the disk",
    errno.EROFS: "make it writable or give another --store",
    errno.EACCES: "ask for the right to use it",
    errno.EPERM: "ask for the right to use it",
    errno.EMFILE: "let this user open more files (ulimit -n)",
    errno.ENFILE: "let this machine open more files",
    errno.ESTALE: "see that the network's file system is there",
    errno.ENOMEM: "free memory",
}
"""What to do where the operating system refuses; all else may be a mistake of ours."""
FULL = (errno.ENOSPC, errno.EDQUOT)
DATABASE = ("disk is full", "disk i/o error", "readonly database", "unable to open database")
"""How SQLite tells of the same."""
KEPT = "finished stages are kept, so then run the same again"


def refusal(error: BaseException | None) -> str | None:
    """Return a sentence for an error behind which the machine's refusal stands, else None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in REMEDIES:
            return _sentence(error)
        if isinstance(error, sqlite3.Error) and any(w in str(error).lower() for w in DATABASE):
            return f"A database cannot be written ({error}): make room or mend it; {KEPT}."
        error = error.__cause__ or error.__context__
    return None


def _sentence(error: OSError) -> str:
    number = error.errno or 0
    what = error.strerror or errno.errorcode[number]
    place = error.filename2 or error.filename
    where = f"{place}: " if place is not None else ""
    room = f" ({_free(place)} free)" if number in FULL and isinstance(place, str) else ""
    return f"{where}{what}{room}; {REMEDIES[number]}; {KEPT}."


def _free(place: str) -> str:
    """Return how much room there is where a file was to be."""
    path = Path(place).absolute()
    there = next(one for one in (path, *path.parents) if one.exists())
    return f"{shutil.disk_usage(there).free / 1e6:.0f} MB"
