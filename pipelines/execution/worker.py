"""One training = one subprocess: the side that gives the jobs, and waits.

What runs in the subprocess is `pipelines.execution.child`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fusion.errors import InputError
from pipelines.execution import stopping
from pipelines.execution.environment import QUIET
from pipelines.execution.faults import room
from pipelines.execution.usage import SILENT_MINUTES, Pulse, silence_seconds

LOG = "log.txt"
ASK_TO_STOP = signal.SIGUSR1
"""Asks the subprocess to write its training's state at the end of the epoch."""


class StageFailed(Exception):
    """A stage's body raised; the message names the log."""


class Worker:
    """A subprocess that makes stages one after another, on one device.

    Each stage may take `timeout_seconds`.
    """

    def __init__(self, device: str, threads: int, timeout_seconds: float) -> None:
        environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": str(threads)}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        # The device is chosen by its torch name, so that the numbering is the user's own.
        self._process = subprocess.Popen(
            # -P: a folder called "fusion" where the user stands is not our package.
            [sys.executable, "-P", "-m", "pipelines.execution.child", device, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._timeout_seconds = timeout_seconds
        self._pulse = Pulse(self._process.pid, silence_seconds())
        try:
            threading.Thread(target=self._read, daemon=True).start()
        except RuntimeError:  # there are too many threads
            self.kill()
            self._process.wait()
            raise

    def __enter__(self) -> Worker:
        stopping.enlist(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        with contextlib.suppress(BrokenPipeError):
            _stream(self._process.stdin).close()
        self._process.wait()
        _stream(self._process.stdout).close()
        stopping.dismiss(self)

    def run(
        self, job: Mapping[str, Any], out: Path, report: Callable[[int, int, str], None]
    ) -> dict[str, Any]:
        """Make one stage in `out` and return its metrics.

        Raises InputError when the body found bad input, StageFailed for every other end.
        """
        deadline = time.monotonic() + self._timeout_seconds
        with contextlib.suppress(BrokenPipeError):
            stdin = _stream(self._process.stdin)
            stdin.write(json.dumps({**job, "out": str(out)}) + "\n")
            stdin.flush()
        while True:
            message = self._next(out / LOG, deadline)
            if "metrics" in message:
                metrics: dict[str, Any] = message["metrics"]
                return metrics
            if "error" in message:
                failure = InputError if message["input"] else StageFailed
                raise failure(message["error"])
            report(*message["progress"])

    def _read(self) -> None:
        for line in _stream(self._process.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def ask_to_stop(self) -> None:
        """Let a training write its state at the end of its epoch."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(ASK_TO_STOP)

    def kill(self) -> None:
        """Kill the process with the image-loading processes it may have started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _next(self, log: Path, deadline: float) -> dict[str, Any]:
        line = self._line(log, deadline)
        if line is None:
            self._lines.put(None)  # the end stays the end
            code = self._process.wait()
            # As it does where a file that is mapped into memory finds no room (SIGBUS).
            left = room(log)
            full = f", with {left} free: make room" if left is not None and left.none else ""
            raise StageFailed(
                f"The training process ended with code {code}; its log is {log}{full}."
            )
        message: dict[str, Any] = json.loads(line)
        return message

    def _line(self, log: Path, deadline: float) -> str | None:
        """Return what the process says next; kill it when it takes too long, or seems dead."""
        self._pulse.beat()
        while True:
            left = deadline - time.monotonic()
            try:
                return self._lines.get(timeout=max(0.0, min(left, self._pulse.look_seconds)))
            except queue.Empty:
                if left <= self._pulse.look_seconds:
                    why = "The stage ran out of its time; raise timeout_hours."
                elif self._process.poll() is not None:
                    return None  # what it had started holds its end of the pipe
                elif self._pulse.is_gone():
                    why = (
                        f"The training process showed no sign of life for "
                        f"{self._pulse.limit_seconds / 60:g} minutes and was killed: it reported "
                        f"nothing and worked nothing; look for a disk or a device that does not "
                        f"answer, or set {SILENT_MINUTES} higher."
                    )
                else:
                    continue
            self.kill()
            raise StageFailed(f"{why} Its log is {log}.") from None


def _stream(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the worker has no pipe")
    return stream
