"""What a method costs: parameters, multiplications, time and memory, each in its own process."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusion.errors import InputError

GIGA, MEGA = 1e9, 1e6


@dataclass(frozen=True)
class ProfileSettings:
    """The size of the pair (pixels), where and with how many threads, and how often it is timed."""

    height: int = 480
    width: int = 640
    device: str = "cpu"
    threads: int | None = None
    repeats: int = 5
    timeout_seconds: float = 900.0

    def __post_init__(self) -> None:
        for key in ("height", "width", "repeats", *(("threads",) if self.threads else ())):
            if getattr(self, key) < 1:
                raise InputError(f"{key} is {getattr(self, key)}; use 1 or more.")


@dataclass(frozen=True)
class Profile:
    """The cost of fusing one pair, or the sentence that says why it could not be measured.

    `gmacs` are 10^9 multiply-adds of convolutions and matrix products, as torch counts them
    (Fourier transforms, softmax and element-wise work are not counted). `milliseconds` is the
    median after a first run that does not count. `peak_megabytes` (10^6 bytes) is the highest
    memory beyond what the process held after its imports; on CUDA, that of the device.
    """

    method: str
    parameters: int = 0
    gmacs: float = 0.0
    milliseconds: float = 0.0
    peak_megabytes: float = 0.0
    failed: str = ""


def profile(title: str, settings: ProfileSettings) -> Profile:
    """Measure the method `title`, NAME or NAME/PRESET, untrained, in a process of its own.

    Nothing that goes wrong in there, memory included, is more than a row that says so.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    if settings.threads:
        environment["OMP_NUM_THREADS"] = str(settings.threads)
    this = [sys.executable, "-P", "-m", "fusion.looking.profiling"]
    try:
        done = subprocess.run(
            [*this, title, json.dumps(asdict(settings))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=settings.timeout_seconds,
        )
    except subprocess.TimeoutExpired:
        return Profile(title, failed=f"it took more than {settings.timeout_seconds:g} s.")
    if done.returncode:
        return Profile(title, failed=_why(done.returncode, done.stderr))
    return Profile(**json.loads(done.stdout.splitlines()[-1]))


def _why(code: int, errors: str) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, most likely for want of memory; try a smaller size."
    return (errors.strip().splitlines() or [f"its process ended with code {code}."])[-1]


def measure(title: str, settings: ProfileSettings) -> Profile:
    """Measure a method in this process, whose memory must be as young as its imports.

    Raises InputError when the method cannot be built or fuse this size.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from fusion.registry import load_method, method_class
    from fusion.torch_tools import resolve_device

    name, _, preset = title.partition("/")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    where = resolve_device(settings.device)
    method_class(name)
    before = _peak_bytes()
    torch.manual_seed(0)
    method = load_method(name, device=settings.device, preset=preset or None)
    pair = torch.rand(2, 1, 1, settings.height, settings.width, device=where)
    times = [_seconds(method, pair, where) for _ in range(settings.repeats + 1)]
    peak = _peak_bytes() - before
    if where.type == "cuda":
        peak = torch.cuda.max_memory_allocated(where)
    with FlopCounterMode(display=False) as counter:  # last: it may keep tensors for longer
        method.fuse(*pair)
    return Profile(
        title,
        parameters=sum(p.numel() for p in method.parameters()),
        gmacs=counter.get_total_flops() / 2 / GIGA,
        milliseconds=statistics.median(times[1:]) * 1000,
        peak_megabytes=peak / MEGA,
    )


def _seconds(method: Any, pair: Any, where: Any) -> float:
    import torch

    def wait() -> None:
        if where.type == "cuda":
            torch.cuda.synchronize(where)

    wait()
    start = time.perf_counter()
    method.fuse(*pair)
    wait()
    return time.perf_counter() - start


def _peak_bytes() -> int:
    """Return the most memory that this process has held.

    Linux lets getrusage's number survive exec, so that a child begins with its parent's peak;
    VmHWM is the process's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # not on every system, and not needed on Linux

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main(arguments: Sequence[str]) -> int:
    """Measure one method as `profile` asks for; prints the result as JSON."""
    settings: Mapping[str, Any] = json.loads(arguments[1])
    try:
        result = measure(arguments[0], ProfileSettings(**settings))
    except InputError as error:
        result = Profile(arguments[0], failed=str(error))
    print(json.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
