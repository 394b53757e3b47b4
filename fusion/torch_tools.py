"""What every room asks of torch: a device that is there, a thread count, files read safely."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fusion.claims import check_claims
from fusion.contents import check_content
from fusion.errors import InputError
from fusion.files import write_durably

REHEARSAL = "rehearse:"
REHEARSED_IMAGES = "FUSE_THEN_REHEARSED_IMAGES"
"""Names the most images for which a training step has room on a rehearsal; without it, any."""

Precision = Literal["fp32", "tf32", "bf16"]
"""What a network computes with: float32, float32 with products of 10 bits, or bfloat16 where
torch thinks it safe, with float32 weights."""


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


def check_precision(precision: Precision, device: str) -> None:
    """Raise InputError where a device has no such precision."""
    if precision == "fp32" or device.startswith(REHEARSAL):
        return
    if not device.startswith("cuda"):
        raise InputError(
            f'precision: "{precision}" needs a CUDA device, and this is "{device}"; use "fp32".'
        )
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError(f'The GPU "{device}" has no bfloat16; use precision: "fp32".')


@contextmanager
def float32_products(precision: Precision = "fp32") -> Iterator[None]:
    """Multiply float32 on CUDA as such inside the block, with fewer bits for "tf32" alone."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def mixed(precision: Precision, where: torch.device) -> torch.autocast:
    """Return the context in which a network computes on `where`."""
    return torch.autocast(where.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def room_for(images: int, device: str, remedy: str) -> Iterator[None]:
    """Let the block compute with `images` at once; InputError with `remedy` where memory ends."""
    try:
        take_room(images, device)
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(f"The memory of {device} is too small for {remedy}.") from error


def take_room(images: int, device: str) -> None:
    """Raise torch.OutOfMemoryError where a rehearsal is to have no room for so many images."""
    most = os.environ.get(REHEARSED_IMAGES)
    if most is not None and device.startswith(REHEARSAL) and images > int(most):
        raise torch.OutOfMemoryError(f"out of memory, rehearsed: {images} images, not {most}")


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


def widened(weight: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a first layer's weight for images with a fourth channel, where `shape` asks for one.

    The fourth channel's weights are the mean of the three, and all are scaled by 3/4, so that an
    image whose channels are equal is answered as before. Any other weight is returned itself.
    """
    colour = (*shape[:1], 3, *shape[2:])
    if tuple(shape[1:2]) != (4,) or tuple(weight.shape) != colour:
        return weight
    return torch.cat([weight, weight.mean(dim=1, keepdim=True)], dim=1) * 0.75


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path` with torch.save, durably; equal contents give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # To a stream: given a path, torch.save puts the file's name into the file.
    write_durably(path, lambda stream: torch.save(dict(content), stream))


def load_checkpoint(path: Path) -> Any:
    """Return what `path` holds: tensors and plain values only, on the CPU.

    ``.safetensors`` files are read as such, all others by ``torch.load(weights_only=True)``.
    Raises InputError when the file is missing, damaged, or would run code.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {path} does not exist; check the path.")
    content = _loaded(path)
    check_content(path, content)
    return content


def _loaded(path: Path) -> Any:
    try:
        check_claims(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            # torch comments on foreign pickles before it refuses them; the refusal is enough.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
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
