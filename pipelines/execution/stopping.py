"""A run that is told to stop stops in seconds, whoever tells it.

Ctrl-C sends SIGINT, a scheduler SIGTERM, a terminal that is closed SIGHUP (unless nohup is used).

A thread of its own hears the signals: the main thread waits for steps, and may be deep in a
library that does not let it wake. At the first signal no more work begins, and trainings under way
are asked to write their state at the end of their epoch; after `GRACE_SECONDS` their processes are
killed. What is finished is in the store in any case.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_SECONDS, LIMIT_SECONDS = 2.5, 4.5
STOPPING = "stopping: trainings that end an epoch now write down where they are (again: at once)"
STOPPED = "stopped; finished stages are kept, run again to go on."
SHOW_CURSOR = "\x1b[?25h"
"""What a terminal is told, whose cursor the progress lines have hidden."""


class Stopped(KeyboardInterrupt):
    """A run was told to stop; its process is to end with `code`, as shells count signals."""

    def __init__(self, number: int) -> None:
        super().__init__(STOPPED)
        self.code = 128 + number


class Refused(Exception):
    """No more work begins, because the run is told to stop."""


class Subprocess(Protocol):
    """What is asked of a process that works for a run."""

    def ask_to_stop(self) -> None:
        """Let it write down where it is, and end."""

    def kill(self) -> None:
        """End it now, with all that it has started."""


_lock = threading.Lock()
_subprocesses: set[Subprocess] = set()
_told = threading.Event()
_numbers: list[int] = []
"""The signal that `_told` stands for."""
_hearing: list[bool] = []
"""Not empty inside a `stoppable` block."""


def enlist(process: Subprocess) -> None:
    """Let a stopped run end `process`."""
    with _lock:
        _subprocesses.add(process)


def dismiss(process: Subprocess) -> None:
    """Forget a process that has ended."""
    with _lock:
        _subprocesses.discard(process)


def refuse() -> None:
    """Raise Refused when the run is told to stop; for threads, of which no run ends."""
    if _told.is_set():
        raise Refused("not begun: the run is stopping.")


def check() -> None:
    """Raise Stopped when the run is told to stop."""
    if _told.is_set():
        raise Stopped(_numbers[0])


def wait(seconds: float) -> None:
    """Wait, but no longer than until the run is told to stop."""
    _told.wait(seconds)


@contextlib.contextmanager
def stoppable(say: Callable[[str], None], *, end_process: bool = False) -> Iterator[None]:
    """Hear the signals while the block lasts; what they end raises Stopped.

    With `end_process`, for a command, the whole process ends at the second signal, or when it has
    not ended by itself after `LIMIT_SECONDS`. Inside another such block, or outside the main
    thread, which alone may be told of signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread() or _hearing:
        yield
        return
    _hearing.append(True)
    heard, written = socket.socketpair()
    written.setblocking(False)
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    handlers = {
        number: signal.signal(number, _terminate)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup has it
    }
    watcher = threading.Thread(target=_watch, args=(heard, say, end_process), daemon=True)
    watcher.start()
    try:
        yield
    except BaseException:
        # Whatever a killed worker or an interrupted library made of it: it is stopped.
        check()
        raise
    finally:
        _hearing.clear()
        if not (_told.is_set() and end_process):  # else it watches how the process ends
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            written.close()
            watcher.join()
            heard.close()
            _told.clear()
            _numbers.clear()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def _watch(heard: socket.socket, say: Callable[[str], None], end_process: bool) -> None:
    if (number := _next(heard, None)) is None:
        return
    _numbers.append(number)
    _told.set()
    with contextlib.suppress(OSError):  # a terminal that is gone
        say(STOPPING)
    _each(lambda process: process.ask_to_stop())
    again = _hears_more(heard, GRACE_SECONDS)
    _each(lambda process: process.kill())
    if end_process:
        if not again:
            _hears_more(heard, LIMIT_SECONDS - GRACE_SECONDS)
        if _hearing:  # else the block has ended, and whoever began it says so
            with contextlib.suppress(OSError):
                os.write(2, f"{SHOW_CURSOR if os.isatty(2) else ''}fuse-then: {STOPPED}\n".encode())
        os._exit(128 + number)


def _hears_more(heard: socket.socket, seconds: float) -> bool:
    try:
        return _next(heard, seconds) is not None
    except TimeoutError:
        return False


def _next(heard: socket.socket, seconds: float | None) -> int | None:
    """Return the next signal's number, None at the end of the block; raises TimeoutError."""
    while True:
        if not select.select([heard], [], [], seconds)[0]:
            raise TimeoutError
        number = heard.recv(1)
        if not number or number[0] in SIGNALS:
            return number[0] if number else None


def _each(act: Callable[[Subprocess], None]) -> None:
    with _lock:
        processes = list(_subprocesses)
    for process in processes:
        act(process)
