"""A process that has imported everything, and forks to run the command: starts cost nothing.

Run as ``python -m benchmarks.injection.warm`` with the environment of `FailingCalls`; `Warm` is the
side that asks. The command runs as where there is no Prefect, but that the subprocess of a worker
is forked as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SECONDS = 120.0
"""What takes longer hangs."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (None: it hung and was killed), and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.err

    @property
    def tables(self) -> str:
        """The printed tables, without the paths and hints beneath them."""
        return self.out.split("\nPictures ")[0]


class Warm:
    """A warm process, asked from here; it ends with this one."""

    def __init__(self, environment: Mapping[str, str], scratch: Path) -> None:
        self._scratch = scratch
        paths = os.pathsep.join((str(REPOSITORY), *filter(None, sys.path)))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmarks.injection.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **environment},
            text=True,
            start_new_session=True,  # else a terminal may stop it, which is not in front there
        )
        self._answer()

    def run(self, words: Sequence[str], tracked: bool = False) -> Ended:
        """Run one command; what it finds goes to MLflow if `tracked`."""
        out, err = self._scratch / "out", self._scratch / "err"
        assert self._process.stdin is not None
        request = {"words": list(words), "out": str(out), "err": str(err), "tracked": tracked}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = self._answer()
        return Ended(code, *(path.read_text("utf-8", "replace") for path in (out, err)))

    def _answer(self) -> int | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the warm process has ended")
        code: int | None = json.loads(line)
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run_fresh(words: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run the command in processes of its own, all started anew."""
    known = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **environment}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipelines.cli.app", *words],
            env=known,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Ended(None, "", "")
    return Ended(done.returncode, done.stdout, done.stderr)


def main() -> None:
    """Answer requests from stdin: a line of JSON each way."""
    talk = os.fdopen(os.dup(1), "w", encoding="utf-8")
    given = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    warm_up()
    _say(talk, 0)
    for line in given:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            _end_with(_command(request["words"], request["tracked"]))
        _say(talk, _ended(pid))


def warm_up() -> None:
    """Import what a command of the small experiment imports."""
    from pipelines.execution.environment import quiet_environment

    quiet_environment()
    for name in (
        *("cv2", "torch", "mlflow", "scipy.stats", "vl_convert", "altair", "matplotlib.pyplot"),
        *("pipelines.flows", "pipelines.cli.app", "pipelines.cli.run", "pipelines.execution.child"),
        *("fusion.quality.folders", "fusion.methods.average", "fusion.generation.folder"),
        *("pipelines.datasets.inspection", "pipelines.views.charts.theme"),
        *("pipelines.views.pictures", "fusion.looking.comparison_sheet"),
        *("mlflow.store.tracking.sqlalchemy_store", "pipelines.views.report.figures"),
    ):
        __import__(name)


def _command(words: Sequence[str], tracked: bool) -> int:
    """Run the command as a fresh interpreter would: what is not caught is printed."""
    from pipelines.cli import app

    try:
        return app.main(words, flows=lambda: by_hand(tracked))
    except BaseException:
        traceback.print_exc()
        return 1


def _end_with(code: int) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _ended(pid: int) -> int | None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _say(talk: IO[str], answer: int | None) -> None:
    talk.write(json.dumps(answer) + "\n")
    talk.flush()


class Forked:
    """In place of subprocess.Popen: a fork of this process that works as a worker's child."""

    def __init__(self, device: str, threads: int) -> None:
        (given, self._in), (self._out, said) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _work(device, threads, given, said)
        os.close(given)
        os.close(said)
        self.stdin = os.fdopen(self._in, "w", encoding="utf-8")
        self.stdout = os.fdopen(self._out, encoding="utf-8")
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _work(device: str, threads: int, given: int, said: int) -> None:
    try:
        os.setsid()
        os.dup2(given, 0)
        os.dup2(said, 1)
        os.closerange(3, 1024)  # of the other workers, whose ends would not come
        sys.argv = ["child", device, str(threads)]
        # Their buffers hold what the command printed; the child writes to the same files.
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        from pipelines.execution import child

        child.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


class Untracked:
    """In place of the tracker: tells MLflow nothing."""

    def __init__(self, plan: Any, store: Any) -> None:
        self.lock = store.root / "locks" / "mlflow"

    def prepare(self) -> None:
        pass

    def follow(self, cells: Any) -> None:
        pass

    def published(self, results: Any) -> bool:
        return False

    def publish(self, results: Any, tables: Any, page: Any) -> None:
        pass


@contextmanager
def by_hand(tracked: bool) -> Iterator[SimpleNamespace]:
    """Yield the flows of a command, without Prefect and with forked workers."""
    import functools

    from pipelines import flows
    from pipelines.execution import worker

    class Popen(Forked):
        def __init__(self, command: Sequence[str], **_: Any) -> None:
            super().__init__(command[-2], int(command[-1]))

    def run(task: str | None, spec: Any, overrides: Any, *given: Any, **more: Any) -> Any:
        wanted = flows.tasks() if task is None else (flows.task_of(task),)
        track = flows.Tracker if tracked else Untracked
        return flows.run_experiment(flows.Work(*given, **more), spec, overrides, wanted, track)

    worker.subprocess = SimpleNamespace(Popen=Popen, PIPE=None)
    yield SimpleNamespace(
        compare=functools.partial(run, None), fuse_then_score=functools.partial(run, "scoring")
    )


if __name__ == "__main__":
    main()
