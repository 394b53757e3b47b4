"""Who computes where: one accelerator, or one share of the processor, is one file lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusion.errors import InputError
from fusion.locks import lock_file, own_folder
from pipelines.execution import stopping


@dataclass(frozen=True)
class Slot:
    """A device that one training may hold: its name, its lock's name, its threads."""

    device: str
    name: str
    threads: int


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What drivers of accelerators leave on a machine: NVIDIA's, Windows' for its Linux, AMD's."""
REHEARSE = "rehearse:"


def accelerators_here(named: bool = False) -> dict[str, str]:
    """Return the identities of this machine's accelerators by their torch names.

    An identity is the card's own, whatever number CUDA_VISIBLE_DEVICES gives it. Unless the user
    has `named` one, torch is asked only where there is a driver.
    """
    # Importing torch costs seconds; without a driver there is nothing to ask it.
    if not named and not any(Path(driver).exists() for driver in DRIVERS):
        return {}
    import torch

    numbers = range(torch.cuda.device_count())
    return {f"cuda:{n}": str(torch.cuda.get_device_properties(n).uuid) for n in numbers}


def slots(
    devices: str | None = None,
    jobs: int | None = None,
    cores: Callable[[], int] = usable_cores,
    accelerators: Callable[[bool], Mapping[str, str]] = accelerators_here,
) -> list[Slot]:
    """Return the slots of a machine, of which `cores` and `accelerators` are asked.

    `devices` is ``"cpu"``, ``"cuda:0,cuda:1"``, ``"rehearse:2"`` for two rehearsals of an
    accelerator on the processor, or None for whatever is there; `jobs` is how many trainings
    share the processor (default 2 where there are two cores), each with its share of the threads.
    Raises InputError for a device that does not exist.
    """
    wanted = None if devices is None else [name.strip() for name in devices.split(",")]
    if wanted is not None and any(name.startswith(REHEARSE) for name in wanted):
        return _rehearsals(wanted, cores())
    if wanted != ["cpu"]:
        known = accelerators(wanted is not None)
        names = list(known) if wanted is None else wanted
        _check(names, known)
        if names:
            share = cores() // len(names) or 1
            return [Slot(name, f"card-{known[name]}", share) for name in names]
    count = min(2, cores()) if jobs is None else jobs
    if count < 1:
        raise InputError(f"--jobs {count} is no number of trainings at once; give 1 or more.")
    threads = max(1, cores() // count)
    return [Slot("cpu", f"cpu-{number}", threads) for number in range(count)]


def _rehearsals(wanted: list[str], cores: int) -> list[Slot]:
    count = wanted[0].removeprefix(REHEARSE)
    if len(wanted) > 1 or not count.isdecimal() or int(count) < 1:
        raise InputError(
            f'"{",".join(wanted)}" is no number of rehearsals; give "rehearse:2" alone for two.'
        )
    share = max(1, cores // int(count))
    names = [f"{REHEARSE}{number}" for number in range(int(count))]
    return [Slot(name, name.replace(":", "-"), share) for name in names]


@contextlib.contextmanager
def lease(choices: Sequence[Slot], poll_seconds: float = 0.2) -> Iterator[Slot]:
    """Hold one of `choices` while the block runs, waiting until one is free.

    The lock belongs to the process: a crash, even by SIGKILL, frees it.
    """
    folder = _lock_folder()
    while True:
        for slot in choices:
            with lock_file(folder / slot.name) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield slot
                return
        stopping.wait(poll_seconds)
        stopping.refuse()


def _lock_folder() -> Path:
    """Return a folder of this user and this machine alone.

    Anybody may write to the temporary folder, and may have taken the name before us; all processes
    of the user then meet in the user's own cache.
    """
    folder = Path(tempfile.gettempdir()) / f"fuse-then-devices-{os.getuid()}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser()
    for place in (folder, cache / "fuse-then" / f"devices-{platform.node()}"):
        if own_folder(place):
            return place
    raise InputError(f"{folder} belongs to another user; set TMPDIR to a folder of your own.")


def _check(names: list[str], available: Mapping[str, str]) -> None:
    for name in names:
        if name not in available:
            have = ", ".join(available) or "none: only cpu"
            raise InputError(
                f'There is no device "{name}" on this machine (it has {have}); choose another.'
            )
