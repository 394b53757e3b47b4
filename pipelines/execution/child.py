"""The subprocess of a worker: jobs come in on stdin, progress and results go out on stdout.

It dies with its parent: a thread waits for the end of stdin, which comes when the parent ends for
whatever reason, and then ends the process at once, with whatever it has started. Everything that a
library prints goes to the stage's log.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

from fusion.checkpointing import ask_for_states
from fusion.errors import InputError
from fusion.generation.memory import keep_freed_memory
from pipelines.execution.faults import is_the_machines, refusal
from pipelines.execution.usage import sampled
from pipelines.execution.worker import ASK_TO_STOP, LOG
from pipelines.store.stage import load_body
from pipelines.store.store import USAGE

_IN_BYTES = sys.platform == "darwin"  # elsewhere ru_maxrss is in KiB


def main() -> None:
    """Read jobs from stdin until it ends; write one JSON object a line."""
    device, threads = sys.argv[1], int(sys.argv[2])
    _wake_when_the_parent_ends()
    # Not SIGTERM, which forked loader processes have to obey.
    signal.signal(ASK_TO_STOP, lambda *_: ask_for_states())
    keep_freed_memory()
    # Libraries print to file descriptor 1: it becomes the log, and we keep a private copy.
    talk = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a killed stage's last words are in its log
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    try:
        threading.Thread(target=_watch, args=(_own_stdin(), jobs), daemon=True).start()
    except Exception as error:  # without it nobody would see that the parent has ended
        _say(talk, {"error": f"{refusal(error) or error}.", "input": False})
        return
    while True:
        _say(talk, _make(jobs.get(), device, threads, talk))


def _wake_when_the_parent_ends() -> None:
    """Have Linux continue this process, if it is stopped (SIGSTOP), so that it ends, too."""
    if sys.platform == "linux":
        signal_at_parents_death = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(signal_at_parents_death, signal.SIGCONT)


def _own_stdin() -> IO[str]:
    """Return the stream of jobs, and leave an empty standard input behind.

    A forked process first closes sys.stdin, and would wait for ever for a thread that reads it.
    """
    given = os.fdopen(os.dup(0), encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return given


def _watch(given: IO[str], jobs: queue.Queue[dict[str, Any]]) -> None:
    for line in given:
        jobs.put(json.loads(line))
    # What a stage has started goes with it; only a process of its own session leads a group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _redirect(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _make(job: dict[str, Any], device: str, threads: int, talk: IO[str]) -> dict[str, Any]:
    before = sum(os.times()[:4])
    log = Path(job["out"]) / LOG
    try:
        _redirect(log)
    except OSError as error:  # said to the parent alone, for nowhere else is a place
        return {"error": f"{refusal(error) or error}.", "input": False}
    try:
        with sampled(Path(job["out"])):
            metrics = _run_body(job, device, threads, talk)
        (Path(job["out"]) / USAGE).write_text(json.dumps(_usage(before)), encoding="utf-8")
        return {"metrics": metrics}
    except Exception as error:  # the boundary of the process: everything becomes a message
        if isinstance(error, InputError) and not is_the_machines(error):
            return {"error": str(error), "input": True}
        with contextlib.suppress(OSError):  # a full disk takes no more lines
            traceback.print_exc()
        if (why := refusal(error, job["out"])) is not None:
            return {"error": f"{why}.", "input": False}
        return {
            "error": f"{job['kind']} failed: {type(error).__name__}: {error} (log: {log})",
            "input": False,
        }


def _usage(before: float) -> dict[str, float]:
    """Return the processor time since `before`, and the most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if _IN_BYTES else 1024)
    seconds = sum(os.times()[:4]) - before  # with the children's, those that have ended
    return {"cpu_seconds": round(seconds, 3), "peak_memory_megabytes": round(peak / 1e6, 1)}


def _run_body(job: dict[str, Any], device: str, threads: int, talk: IO[str]) -> dict[str, Any]:
    import torch

    from pipelines.execution.job import Job

    torch.set_num_threads(threads)

    def report(done: int, total: int, remark: str) -> None:
        _say(talk, {"progress": [done, total, remark]})

    inputs = {role: Path(path) for role, path in job["inputs"].items()}
    out = Path(job["out"])
    body = load_body(job["body"])
    return body(Job(job["kind"], job["spec"], inputs, job["local"], out, device, threads, report))


def _say(talk: IO[str], message: dict[str, Any]) -> None:
    talk.write(json.dumps(message) + "\n")
    talk.flush()


if __name__ == "__main__":
    main()
