"""What every room asks of torch: a device that is there, a thread count, files read safely."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fusion.errors import InputError
from fusion.files import write_atomically

REHEARSAL = "rehearse:"


def resolve_device(name: str) -> torch.device:
    """Return the torch device `name`; InputError when it is unknown or not on this machine.

    A rehearsal ("rehearse:N") computes on the processor.
    """
    if name.startswith(REHEARSAL):
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f'Unknown device "{name}"; use "cpu", "cuda" or "cuda:N".') from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f'The device "{name}" is not supported; use "cpu", "cuda" or "cuda:N".')
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    missing = device.type == "mps" and not torch.backends.mps.is_available()
    if (device.index or 0) >= count or missing:
        raise InputError(f'The device "{name}" is not on this machine; use "cpu".')
    return device


def accelerated(name: str) -> bool:
    """Whether a device is used as an accelerator is: one, or the rehearsal of one."""
    return name.startswith(("cuda", REHEARSAL))


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let torch compute with `threads` CPU threads inside the block; None changes nothing.

    Raises InputError when `threads` is less than 1.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}; use 1 or more.")
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` with torch.save, atomically; equal contents give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # To a stream: given a path, torch.save puts the file's name into the file.
    write_atomically(path, lambda stream: torch.save(dict(content), stream))


def load_checkpoint(path: Path) -> Any:
    """Return what `path` holds: tensors and plain values only, on the CPU.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``.
    Raises InputError when the file is missing, damaged, or would run code.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            # torch comments on foreign pickles before it refuses them; the refusal is enough.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    # Damaged bytes make the readers raise nearly anything; all of it means the same to the user.
    except Exception as error:
        if "unsupported global" in str(error).lower():
            raise InputError(
                f"{path} holds more than tensors and plain values, and reading it could run "
                f"foreign code; save its state_dict alone and give that file."
            ) from error
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); it is damaged, "
            f"incomplete or of another format, so fetch or train it again."
        ) from error
