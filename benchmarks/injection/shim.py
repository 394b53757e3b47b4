"""Counts the calls that processes make on some folders, and lets one of them, or all after, fail.

A small C library (`failing_calls.c`) stands between the programs and the C library; what is armed
lies in a file that all of them map. It sees what goes through the C library's functions, and so not
what a library maps into memory, nor calls of the kernel by number.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("failing_calls.c")
PLACES, LENGTH = 4, 1024
STATE = struct.Struct(f"=7q{PLACES * LENGTH}s{2 * LENGTH}s")
"""armed, at, error, stays, kinds, count, failed; places; what failed, as in the C source."""
OPEN, CREATE, READ, WRITE, SYNC, CLOSE, ADD, REMOVE, LOOK, LIST, LOCK, START = (
    1 << bit for bit in range(12)
)
WRITES = CREATE | WRITE | SYNC | ADD
ALL = (START << 1) - 1 - START
KINDS = {
    "EIO": ALL,
    "ESTALE": ALL & ~CLOSE,
    "ENOSPC": WRITES,
    "EDQUOT": WRITES,
    "EROFS": CREATE | ADD | REMOVE,
    "EACCES": OPEN | CREATE | ADD | REMOVE | LIST,
    "EMFILE": OPEN | CREATE | LIST,
    "EAGAIN": START,
}
"""Which calls each error is of; processes and threads that cannot be started are EAGAIN's."""
STAYS = frozenset({"ENOSPC", "EDQUOT", "EROFS"})
"""What does not go away by itself: all such calls fail from the chosen one on."""


def compiler() -> str | None:
    """Return a C compiler of this machine, if there is one that can build the library."""
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return found if sys.platform == "linux" else None


class FailingCalls:
    """The library, built in `folder` unless it is there, and its state; one process arms it."""

    def __init__(self, folder: Path) -> None:
        library, self._path = folder / "failing_calls.so", folder / "calls"
        if not library.exists():  # else a process that has loaded it would lose it
            how = ("-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl")
            subprocess.run([compiler() or "cc", *how], check=True)
            self._path.write_bytes(bytes(STATE.size))
        with self._path.open("r+b") as stream:
            self._state = mmap.mmap(stream.fileno(), STATE.size)
        self.environment = {"LD_PRELOAD": str(library), "FAILING_CALLS": str(self._path)}

    def arm(self, places: Sequence[Path], error: str, at: int, stays: bool | None = None) -> None:
        """Count the calls on `places` that may end with an error; with `at` above 0 let one fail.

        What `stays` goes on failing; by default what does so in life.
        """
        written = b"".join(os.fsencode(place).ljust(LENGTH, b"\0") for place in places)
        lasting = error in STAYS if stays is None else stays
        number, kinds = getattr(errno, error), KINDS[error]
        self._state[:] = STATE.pack(0, at, number, lasting, kinds, 0, 0, written, b"")
        self._state[:8] = struct.pack("=q", 1)

    def disarm(self) -> tuple[int, int, str]:
        """Return how many calls were counted, how many failed, and which was the first."""
        self._state[:8] = struct.pack("=q", 0)
        found = STATE.unpack(self._state[:])
        what: bytes = found[-1]
        return found[5], found[6], os.fsdecode(what.rstrip(b"\0").split(b"\0")[0])
