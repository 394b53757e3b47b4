"""What a stage's process takes while it runs: one line every few seconds, kept with the result."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from fusion.errors import InputError

SAMPLES = "system.csv"
COLUMNS = ("seconds", "cpu_percent", "memory_megabytes")
"""Since the stage began; of one core, so that two busy cores are 200; resident memory."""
EVERY_SECONDS = 5.0
SILENT_MINUTES = "FUSE_THEN_SILENT_MINUTES"
"""Names the minutes after which a process without a sign of life is killed; 30 unless set."""
LOOKS = 20
"""How often a silent process is looked at before it is taken for dead."""
WORKING = 0.01
"""The share of one core that is a sign of life; to write `SAMPLES` takes a hundredth of it."""


@contextmanager
def sampled(folder: Path) -> Iterator[None]:
    """Write `SAMPLES` into `folder` while the block runs; the last line is of its end.

    After an interrupted run the lines go on from the last one's seconds.
    Loading processes that a training starts are not counted.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_sample, args=(folder / SAMPLES, stop), daemon=True)
    with contextlib.suppress(RuntimeError):  # too many threads: the work goes on without
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()


def _sample(path: Path, stop: threading.Event) -> None:
    """Write samples until told to stop, or until the disk refuses: they are no result."""
    with contextlib.suppress(OSError):
        _write_samples(path, stop)


def _write_samples(path: Path, stop: threading.Event) -> None:
    process, begun = psutil.Process(), time.monotonic() - seconds_so_far(path.parent)
    process.cpu_percent()  # later calls are relative to this one
    _mend(path)
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if stream.tell() == 0:
            writer.writerow(COLUMNS)
        ended = False
        while not ended:
            ended = stop.wait(EVERY_SECONDS)
            memory = process.memory_info().rss / 1e6
            now = time.monotonic() - begun
            writer.writerow([f"{now:.1f}", process.cpu_percent(), f"{memory:.1f}"])
            stream.flush()


def _mend(path: Path) -> None:
    """Take off what a power cut has left of a last line, or all where not even the head is left."""
    known = path.read_bytes() if path.is_file() else b""
    head = f"{','.join(COLUMNS)}\n".encode()
    whole = known[: known.rfind(b"\n") + 1] if known.startswith(head) else b""
    if whole != known:
        path.write_bytes(whole)


def seconds_so_far(folder: Path) -> float:
    """Return how long interrupted runs of a stage have worked in its folder, to a few seconds."""
    samples = read_samples(folder)
    return samples[-1]["seconds"] if samples else 0.0


def read_samples(folder: Path) -> list[dict[str, float]]:
    """Return the samples of a finished stage; none where it was made without.

    Lines that a full disk or a crash has torn are left out.
    """
    path = folder / SAMPLES
    if not path.is_file():
        return []
    samples = []
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.DictReader(stream):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                samples.append({key: float(row[key]) for key in COLUMNS})
    return samples


def silence_seconds() -> float:
    """Return how long a process may show no sign of life, as the environment has it.

    Raises InputError for what is no number of minutes.
    """
    text = os.environ.get(SILENT_MINUTES, "30")
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise InputError(f'{SILENT_MINUTES} is "{text}"; give minutes, such as 30.')
    return 60 * minutes


class Pulse:
    """Signs of life of a process: what it reports, and that it or its children work.

    Looks are counted, and not the time between them: in a run that was stopped as a whole
    (SIGSTOP, a machine asleep) nobody was silent.
    """

    def __init__(self, process: int, limit_seconds: float) -> None:
        self._process, self.limit_seconds = process, limit_seconds
        self.look_seconds = limit_seconds / LOOKS
        self.beat()

    def beat(self) -> None:
        """Note a sign of life."""
        self._looks, self._worked = 0, math.inf

    def is_gone(self) -> bool:
        """Look, `look_seconds` after the last time; whether all of the limit was silent."""
        before, self._worked = self._worked, processor_seconds(self._process)
        works = self._worked - before > self.look_seconds * WORKING
        self._looks = 0 if works else self._looks + 1
        return self._looks >= LOOKS


def processor_seconds(process: int) -> float:
    """Return what a process and its children have worked; 0 where it is gone."""
    try:
        own = psutil.Process(process)
        return sum(sum(one.cpu_times()[:4]) for one in (own, *own.children(recursive=True)))
    except psutil.Error:
        return 0.0
