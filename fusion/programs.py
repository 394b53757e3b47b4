"""Run somebody else's program: no shell, a log, a time limit, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fusion.errors import InputError

_GUARD = """
import os, signal, subprocess, sys, threading

def end_with_parent():
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=end_with_parent, daemon=True).start()
try:
    code = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
except OSError as error:
    print(f"{sys.argv[1]} cannot be started: {error.strerror}", file=sys.stderr)
    code = 127
os._exit(code if code >= 0 else 128 - code)
"""
"""Stands between us and the program: our end, however it comes, closes its stdin."""


def run_program(
    words: Sequence[str],
    log: Path,
    timeout_seconds: float,
    workdir: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end; all that it prints goes to `log`.

    It sees our environment with `env` added, without the variables that would make another Python
    take our packages. Raises InputError, naming the log, when it fails or takes longer than
    `timeout_seconds`, after which it and everything that it started is killed.
    """
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, *words],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=workdir,
            env={**kept, **(env or {})},
            start_new_session=True,
        )
        code = _wait(process, words, log, timeout_seconds)
    if code:
        last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""])[-1]
        raise InputError(
            f"The command `{shlex.join(words)}` ended with code {code}"
            f"{f' ({last})' if last else ''}; its log is {log}."
        )


def _wait(
    process: subprocess.Popen[bytes], words: Sequence[str], log: Path, timeout_seconds: float
) -> int:
    with process:
        try:
            return process.wait(timeout_seconds)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    raise InputError(
        f"The command `{shlex.join(words)}` took more than {timeout_seconds:g} s and was ended; "
        f"raise timeout_seconds, or see its log, {log}."
    )
