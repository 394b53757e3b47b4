"""Locks that die with their processes: what many may begin at once is made by one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

POLL_SECONDS = 0.1
OURS_ALONE = 0o600


def lock_file(path: Path) -> TextIO:
    """Open a file to be locked, which no other user may open: whoever can read one can lock it."""
    how = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    stream = os.fdopen(os.open(path, how, OURS_ALONE), "a+", encoding="utf-8", errors="replace")
    state = os.fstat(stream.fileno())
    if state.st_mode & 0o077 and state.st_uid == os.getuid():
        os.fchmod(stream.fileno(), OURS_ALONE)  # of an earlier version
    return stream


def own_folder(path: Path) -> bool:
    """Make a folder that is this user's own, closed to all others; False where it cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.lstat()
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid():
            if state.st_mode & 0o077:
                path.chmod(0o700)
            return True
    except OSError:
        pass
    return False


@contextlib.contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; the file stays.

    Raises TimeoutError when another process holds it for longer than `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with lock_file(path) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another process has held {path} for {seconds:.0f} s"
                    ) from None
            time.sleep(POLL_SECONDS)
        yield
