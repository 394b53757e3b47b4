"""A run that is told to stop ends, with all that it has started, and keeps what it can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.execution import stopping
from pipelines.execution.devices import Slot, lease
from pipelines.execution.stopping import Refused, Stopped, stoppable

pytestmark = pytest.mark.process

# A run whose main thread waits, deaf to signals as some libraries make it.
RUN = """
import signal, sys, threading
from pathlib import Path
from pipelines.execution import stopping
from pipelines.execution.stopping import stoppable
from pipelines.execution.worker import Worker

job = {"kind": "trains", "body": "more_stages:trains", "spec": {}, "inputs": {}, "local": {}}
for number in (signal.SIGHUP, signal.SIGQUIT):  # which nohup, or a shell's "&", may have taken
    signal.signal(number, signal.SIG_DFL)
tell = lambda text: print(text, file=sys.stderr, flush=True)
with stoppable(tell, end_process=True), Worker("cpu", 1, 600.0) as worker:
    run = lambda: worker.run(job, Path.cwd(), lambda *pids: print(*pids[:2], flush=True))
    threading.Thread(target=run, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping.SIGNALS)
    threading.Event().wait()
"""
STAGE = """
import os, subprocess, sys, time
from pathlib import Path
from fusion.checkpointing import Interval

def trains(job):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    interval = Interval(1000)
    job.report(os.getpid(), helper.pid, "")
    while not interval.is_over():
        time.sleep(0.01)
    Path("state").write_text("written")
    time.sleep(600)
"""


@dataclass
class Run:
    process: subprocess.Popen[str]
    child: int
    helper: int

    def ends(self) -> tuple[int, str]:
        """Wait for the end; return its code and what it said."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    (tmp_path / "more_stages.py").write_text(STAGE)
    (tmp_path / "torch.py").write_text("def set_num_threads(n): pass\n")
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(root)))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child, helper = map(int, process.stdout.readline().split())
    yield Run(process, child, helper)
    process.kill()
    process.communicate()


def gone(number: int) -> bool:
    """Whether a process has ended, within a minute; nobody may have asked for its end yet."""
    for _ in range(600):
        try:
            if (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()[
                0
            ] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        threading.Event().wait(0.1)
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_alone_ends_all(
    run: Run, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run.process.send_signal(number)
    ended, said = run.ends()
    assert ended == code
    assert said.startswith(stopping.STOPPING)
    assert stopping.STOPPED in said
    assert gone(run.child)
    assert gone(run.helper)
    assert (tmp_path / "state").read_text() == "written"


def test_a_second_one_does_not_wait(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(run.child, signal.SIGSTOP)  # it cannot answer, and is killed all the same
    run.process.send_signal(signal.SIGINT)
    assert run.process.stderr is not None
    assert run.process.stderr.readline().strip() == stopping.STOPPING
    run.process.send_signal(signal.SIGTERM)
    assert run.ends()[0] == 130
    assert gone(run.child)
    assert gone(run.helper)


def test_nothing_is_left_by_sigquit(run: Run) -> None:
    run.process.send_signal(signal.SIGQUIT)
    assert run.ends()[0] == -signal.SIGQUIT
    assert gone(run.child)
    assert gone(run.helper)


def test_a_terminal_that_is_closed_ends_all_though_nobody_hears_it(
    run: Run, tmp_path: Path
) -> None:
    assert run.process.stderr is not None
    run.process.stderr.close()  # what is said now is an error
    run.process.send_signal(signal.SIGHUP)
    for _ in range(600):
        if (tmp_path / "state").exists():
            break
        threading.Event().wait(0.1)
    run.process.send_signal(signal.SIGHUP)
    assert run.process.wait(60) == 129
    assert gone(run.child)


def test_nohup_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(pytest.fail):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_a_child_that_is_stopped_dies_with_a_parent_that_is_killed(run: Run) -> None:
    os.kill(run.child, signal.SIGSTOP)
    run.process.kill()
    assert gone(run.child)
    assert gone(run.helper)


def test_what_the_signals_end_is_told_as_stopped_and_no_work_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "_subprocesses", set())  # but for those of other tests
    said: list[str] = []

    def block() -> None:
        with stoppable(said.append):
            with stoppable(said.append):  # of the flow within the command's: hears nothing itself
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)

    with pytest.raises(Stopped) as stopped:
        block()
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    stopping.check()  # forgotten: a notebook goes on


def test_whoever_waits_for_a_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    monkeypatch.setattr(stopping, "_told", told)
    slots = [Slot("cpu", "stopping", 1)]
    with lease(slots):
        told.set()
        with pytest.raises(Refused), lease(slots):
            pass
    with pytest.raises(Refused):
        stopping.refuse()
