"""What the machine refuses (room, rights, a sound disk), said in a sentence.

Few places ask: the command's end, the maker of a stage, the subprocess of a worker, and whoever
only shows results, who says it in a line and goes on (`spared`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "let this user write larger files (ulimit -f)",
    errno.EIO: "look after the disk",
    errno.EROFS: "make it writable or give another --store",
    errno.EACCES: "ask for the right to use it",
    errno.EPERM: "ask for the right to use it",
    errno.EMFILE: "let this user open more files (ulimit -n)",
    errno.ENFILE: "let this machine open more files",
    errno.EAGAIN: "let this user start more processes (ulimit -u)",
    errno.ESTALE: "see that the network's file system is there",
    errno.ENOTCONN: "see that the network's file system is there",
    errno.ENODEV: "see that the disk is there",
    errno.ENXIO: "see that the disk is there",
    errno.ENOMEM: "free memory",
    errno.ENOENT: "it was removed meanwhile: leave it alone while the command works",
    errno.ENOTDIR: "a folder was replaced meanwhile: leave it alone while the command works",
}
"""What to do where the operating system refuses; all else may be a mistake of ours."""
OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What more room may mend, or hide: it is said how much there is."""
GONE = (errno.ENOENT, errno.ENOTDIR)
ASKED_FOR = (errno.EACCES, errno.EPERM, errno.EROFS, *GONE)
"""What may also be said of a path that the user gave, and is then the user's to mend."""
UNCLEAR = (errno.EAGAIN, errno.ENXIO, *GONE)
"""What the text alone of an error does not tell surely, nor one that another was raised from."""
DATABASE = ("disk is full", "disk i/o error", "readonly database", "unable to open database")
"""How SQLite tells of the same."""
THREAD = "can't start new thread"
KEPT = "finished stages are kept, so then run the same again"
ALMOST_NONE = 64 * 1024
"""Bytes with which nothing can be done."""


class NoRoom(OSError):
    """There is less room than what is to be made will need; the sentence says how much."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ENOSPC, sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class Room(NamedTuple):
    """What a file system has left for this user: bytes, and further files (None: no limit)."""

    bytes: int
    files: int | None

    @property
    def none(self) -> bool:
        """Whether nothing can be written."""
        return self.bytes < ALMOST_NONE or self.files == 0

    def __str__(self) -> str:
        if self.files == 0:
            return "no inode (so no further file)"
        return f"{self.bytes / 1e6:.0f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:.0f} GB"


def room(place: str | Path) -> Room | None:
    """Return what is left where `place` is or was to be; None where the disk does not say."""
    path = Path(place).absolute()
    for one in (path, *path.parents):
        with contextlib.suppress(OSError):
            found = os.statvfs(one)
            # Some file systems count no files: theirs are 0 of 0.
            return Room(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
    return None


def refusal(error: BaseException | None, place: str | Path | None = None) -> str | None:
    """Return what the machine refused, where an error stands for that, without a full stop.

    `place` is where work was done, for errors that do not say. Returns None for all others.
    """
    for one in _behind(error):
        if isinstance(one, NoRoom):
            return one.sentence
        # Behind another error, what is not there, or locked, may well have been expected.
        if isinstance(one, OSError) and one.errno in UNCLEAR and one is not error:
            continue
        if isinstance(one, OSError) and one.errno in REMEDIES:
            return _sentence(one.errno, one.strerror, one.filename2 or one.filename or place)
        if isinstance(one, sqlite3.Error) and any(w in str(one).lower() for w in DATABASE):
            told = f"{one}{_left(place)}"
            return f"A database{_in(place)} cannot be used ({told}): make room or mend it"
        if isinstance(one, RuntimeError) and THREAD in str(one):
            return _sentence(errno.EAGAIN, f"No further thread{_in(place)}", None)
    for one in _behind(error):  # of libraries that tell it in words alone
        for number in REMEDIES:
            if number not in UNCLEAR and os.strerror(number) in str(one):
                return _sentence(number, None, place)
    left = room(place) if place is not None and error is not None else None
    if left is not None and left.none and isinstance(error, OSError | RuntimeError | EOFError):
        return f"{place}: {error} ({left} free); make room"
    return None


def is_the_machines(error: BaseException) -> bool:
    """Whether an error is the machine's alone, and nothing that the user gave may be wrong."""
    found = [one.errno for one in _behind(error) if isinstance(one, OSError) and one.errno]
    return any(number in REMEDIES and number not in ASKED_FOR for number in found)


@contextlib.contextmanager
def spared(what: str, say: Callable[[str], None], place: Path | None = None) -> Iterator[None]:
    """Do what only shows results; where the machine refuses, say so in a line and go on."""
    try:
        yield
    except Exception as error:
        if (why := refusal(error, place)) is None:
            raise
        say(f"  left out  {what}: {why}.")


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, or that it groups."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            grouped = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
            waiting += [*grouped, one.__cause__ or one.__context__]


def _sentence(number: int, told: str | None, place: object) -> str:
    where = (
        "" if place is None else f"{os.fsdecode(place) if isinstance(place, bytes) else place}: "
    )
    left = _left(place, " (", ")") if number in OF_ROOM else ""
    return f"{where}{told or os.strerror(number)}{left}; {REMEDIES[number]}"


def _in(place: object) -> str:
    return "" if place is None else f" in {place}"


def _left(place: object, before: str = ", ", after: str = "") -> str:
    """Return in words how much is free at a place, nothing where that is not known."""
    left = room(place) if isinstance(place, str | Path) else None
    return "" if left is None else f"{before}{left} free{after}"
