"""Who computes where: one accelerator, or one share of the processor, is one file lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusion.errors import InputError


@dataclass(frozen=True)
class Slot:
    """A device that one training may hold: its torch name, its lock's name, its threads."""

    device: str
    name: str
    threads: int


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def accelerators_here() -> list[str]:
    """Return the torch names of this machine's accelerators."""
    # Importing torch costs seconds; without a driver there is nothing to ask it.
    if not Path("/dev/nvidiactl").exists():
        return []
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def slots(
    devices: str | None = None,
    jobs: int | None = None,
    cores: Callable[[], int] = usable_cores,
    accelerators: Callable[[], list[str]] = accelerators_here,
) -> list[Slot]:
    """Return the slots of a machine, of which `cores` and `accelerators` are asked.

    `devices` is ``"cpu"``, ``"cuda:0,cuda:1"`` or None for whatever is there; `jobs` is how many
    trainings share the processor (default 2 where there are two cores), each with its share of
    the threads. Raises InputError for a device that does not exist.
    """
    names = accelerators() if devices is None else [d.strip() for d in devices.split(",")]
    if names and names != ["cpu"]:
        _check(names, accelerators())
        return [Slot(name, name.replace(":", "-"), cores() // len(names) or 1) for name in names]
    count = min(2, cores()) if jobs is None else jobs
    if count < 1:
        raise InputError(f"--jobs {count} is no number of trainings at once; give 1 or more.")
    threads = max(1, cores() // count)
    return [Slot("cpu", f"cpu-{number}", threads) for number in range(count)]


@contextlib.contextmanager
def lease(choices: Sequence[Slot], poll_seconds: float = 0.2) -> Iterator[Slot]:
    """Hold one of `choices` while the block runs, waiting until one is free.

    The lock belongs to the process: a crash, even by SIGKILL, frees it.
    """
    folder = _lock_folder()
    while True:
        for slot in choices:
            with (folder / slot.name).open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield slot
                return
        time.sleep(poll_seconds)


def _lock_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"fuse-then-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Anybody may write to the temporary folder: a lock in somebody else's folder is not ours.
    if folder.lstat().st_uid != os.getuid():
        raise InputError(f"{folder} belongs to another user; set TMPDIR to a folder of your own.")
    return folder


def _check(names: list[str], available: list[str]) -> None:
    for name in names:
        if name not in available:
            have = ", ".join(available) or "none: only cpu"
            raise InputError(
                f'There is no device "{name}" on this machine (it has {have}); choose another.'
            )
