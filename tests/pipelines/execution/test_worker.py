from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fusion.errors import InputError
from pipelines.execution import usage
from pipelines.execution.faults import Room
from pipelines.execution.worker import LOG, StageFailed, Worker

pytestmark = pytest.mark.process

Start = Callable[..., Worker]
Job = Callable[..., dict[str, Any]]

# Read by the subprocess at its start: stages that exist only here.
SITE = """
import multiprocessing, os, subprocess, sys, time, warnings
from fusion.errors import InputError

def numbers(job):
    print("printed by a library")
    os.write(1, b"written by C code\\n")
    warnings.warn("warned by a library")
    job.report(1, 2, "half"); job.report(2, 2, "done")
    return {"given": dict(job.spec), "device": job.device, "threads": job.threads}

def bad(job):
    raise InputError("x.png is broken; replace it.")

def full(job):
    raise OSError(28, "No space left on device")

def unreadable(job):
    try:
        raise OSError(5, "Input/output error", "x.png")
    except OSError as error:
        raise InputError("x.png cannot be opened; check the file.") from error

def bug(job):
    return {}["key"]

def dies(job):
    print("last words")
    os._exit(7)

def waits(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.report(os.getpid(), child.pid, "waiting")
    time.sleep(600)

def forks(job):
    child = multiprocessing.get_context("fork").Process(target=os.getpid)
    child.start()
    child.join(10)
    ended = child.exitcode
    child.kill()
    return {"ended": ended, "stdin": sys.stdin.read() if ended == 0 else None}

"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start workers that know the stages of SITE, and end them."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    (fakes / "more_stages.py").write_text(SITE)
    # The worker imports torch, which takes seconds, and these stages do not need it.
    (fakes / "torch.py").write_text("def set_num_threads(n): pass\n")
    monkeypatch.syspath_prepend(fakes)
    monkeypatch.chdir(tmp_path)
    workers: list[Worker] = []

    def make(seconds: float = 60.0) -> Worker:
        workers.append(Worker("cpu", 3, seconds))
        return workers[-1]

    yield make
    for worker in workers:
        worker.__exit__(KeyboardInterrupt, None, None)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return lambda kind, **spec: {
        "kind": kind,
        "body": f"more_stages:{kind}",
        "spec": spec,
        "inputs": {},
        "local": {},
    }


def ignore(done: int, total: int, remark: str) -> None:
    pass


def test_metrics_and_progress_come_back_and_prints_go_to_the_log(
    start: Start, job: Job, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[int, int, str]] = []
    worker = start()
    made = worker.run(job("numbers", a=[1, 2]), tmp_path, lambda *step: steps.append(step))
    assert made == {"given": {"a": [1, 2]}, "device": "cpu", "threads": 3}
    assert steps == [(1, 2, "half"), (2, 2, "done")]
    log = (tmp_path / LOG).read_text()
    for line in ("printed by a library", "written by C code", "warned by a library"):
        assert line in log
    assert capfd.readouterr() == ("", "")


def test_each_stage_has_its_own_log(start: Start, job: Job, tmp_path: Path) -> None:
    worker = start()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        worker.run(job("numbers"), tmp_path / name, ignore)
    for name in ("one", "two"):
        assert (tmp_path / name / LOG).read_text().count("printed by a library") == 1


def test_bad_input_is_one_sentence_and_the_worker_lives(
    start: Start, job: Job, tmp_path: Path
) -> None:
    worker = start()
    with pytest.raises(InputError, match=r"^x\.png is broken; replace it\.$"):
        worker.run(job("bad"), tmp_path, ignore)
    assert worker.run(job("numbers"), tmp_path, ignore)["threads"] == 3


def test_a_bug_names_its_log_where_the_traceback_is(start: Start, job: Job, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=rf"bug failed: KeyError: 'key' \(log: {tmp_path}"):
        start().run(job("bug"), tmp_path, ignore)
    assert "Traceback" in (tmp_path / LOG).read_text()


def test_what_the_machine_refuses_is_a_sentence_and_the_worker_lives(
    start: Start, job: Job, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    worker, gone = start(), tmp_path / "gone"
    with pytest.raises(StageFailed, match=rf"^{tmp_path}: No space left .* free\); make room\.$"):
        worker.run(job("full"), tmp_path, ignore)
    with pytest.raises(StageFailed, match=r"^x\.png: Input/output error .* look after the disk\.$"):
        worker.run(job("unreadable"), tmp_path, ignore)
    with pytest.raises(StageFailed, match=rf"^{gone}/{LOG}: No such file .* removed meanwhile"):
        worker.run(job("numbers"), gone, ignore)
    assert capfd.readouterr() == ("", "")  # no traceback, though there was no log to take it
    assert worker.run(job("numbers"), tmp_path, ignore)["threads"] == 3


def test_a_process_that_dies_is_told_with_its_code(start: Start, job: Job, tmp_path: Path) -> None:
    worker = start()
    for _ in range(2):  # the second job meets a process that is gone
        with pytest.raises(StageFailed, match=rf"ended with code 7; its log is {tmp_path}"):
            worker.run(job("dies"), tmp_path, ignore)
    assert "last words" in (tmp_path / LOG).read_text()


def test_a_process_that_dies_on_a_full_disk_says_that_it_is_full(
    start: Start, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.execution.worker.room", lambda place: Room(0, None))
    with pytest.raises(StageFailed, match=rf"is {tmp_path}/{LOG}, with 0 MB free: make room\.$"):
        start().run(job("dies"), tmp_path, ignore)


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    """Wait, by the kernel's own notice, until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(20_000), f"process {pid} is still there"
    finally:
        os.close(descriptor)


def test_a_timeout_kills_the_process_and_its_children(
    start: Start, job: Job, tmp_path: Path
) -> None:
    pids: list[int] = []
    worker = start()
    worker.run(job("numbers"), tmp_path, ignore)  # it has started
    worker._timeout_seconds = 1.0
    with pytest.raises(StageFailed, match=r"ran out of its time; raise timeout_hours.*log\.txt"):
        worker.run(job("waits"), tmp_path, lambda a, b, _: pids.extend((a, b)))
    assert len(pids) == 2
    for pid in pids:
        wait_for_end(pid)


def test_a_process_without_a_sign_of_life_is_killed(
    start: Start, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_SILENT_MINUTES", "0.01")
    worker = start()
    worker._pulse.look_seconds = 10.0  # until it has started
    worker.run(job("numbers"), tmp_path, ignore)
    worker._pulse.look_seconds = 0.03
    pids: list[int] = []
    with pytest.raises(StageFailed, match=r"no sign of life for 0\.01 minutes .* FUSE_THEN_SILENT"):
        worker.run(job("waits"), tmp_path, lambda a, b, _: pids.extend((a, b)))
    for pid in pids:
        wait_for_end(pid)


def test_work_is_a_sign_of_life_and_so_is_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = iter([0.0, 0.0, 0.5, 0.5, 0.5, 0.5])
    monkeypatch.setattr(usage, "processor_seconds", lambda _: next(worked))
    monkeypatch.setattr(usage, "LOOKS", 3)
    pulse = usage.Pulse(1, 30.0)
    assert [pulse.is_gone() for _ in range(4)] == [False] * 4  # it worked before the third look
    pulse.beat()
    assert [pulse.is_gone() for _ in range(2)] == [False] * 2


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_the_limit_of_silence_is_a_number_of_minutes(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_SILENT_MINUTES", text)
    with pytest.raises(InputError, match=rf'FUSE_THEN_SILENT_MINUTES is "{text}"; give minutes'):
        usage.silence_seconds()


def test_each_stage_has_its_own_time(
    start: Start, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start()
    worker.run(job("numbers"), tmp_path, ignore)
    later = time.monotonic() + 3600  # an hour in which the worker had nothing to do
    monkeypatch.setattr("pipelines.execution.worker.time", SimpleNamespace(monotonic=lambda: later))
    assert worker.run(job("numbers"), tmp_path, ignore)["threads"] == 3


def test_an_interrupted_block_kills_the_worker(start: Start, job: Job, tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(own: int, child: int, _: str) -> None:
        pids.extend((own, child))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), start() as worker:
        worker.run(job("waits"), tmp_path, interrupt)
    for pid in pids:
        wait_for_end(pid)


PARENT = """
import sys
from pathlib import Path
from pipelines.execution.worker import Worker

def tell(own, child, remark):
    print(own, child, flush=True)

job = {"kind": "waits", "body": "more_stages:waits", "spec": {}, "inputs": {}, "local": {}}
Worker("cpu", 1, 600.0).run(job, Path(sys.argv[1]), tell)
"""


def test_the_worker_and_what_it_started_die_with_its_parent(start: Start, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        worker, child = map(int, parent.stdout.readline().split())
        assert alive(worker)
        assert alive(child)
        parent.send_signal(signal.SIGKILL)
    for pid in (worker, child):
        wait_for_end(pid)
        assert not alive(pid)


def test_a_folder_named_like_ours_where_the_user_stands_is_not_ours(
    start: Start, job: Job, tmp_path: Path
) -> None:
    for name in ("pipelines", "fusion"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    assert start().run(job("numbers"), tmp_path, ignore)["threads"] == 3


def test_a_stage_may_fork_as_image_loaders_do(start: Start, job: Job, tmp_path: Path) -> None:
    assert start().run(job("forks"), tmp_path, ignore) == {"ended": 0, "stdin": ""}
