from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import InputError
from pipelines.execution import devices
from pipelines.execution.devices import Slot, lease, slots

SPAWN = multiprocessing.get_context("spawn")
TWO = (Slot("cpu", "cpu-0", 1), Slot("cpu", "cpu-1", 1))
POLL = 0.01


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for the processes that are started


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cores", lambda: 4)
    monkeypatch.setattr(devices, "_accelerators", list)


def test_trainings_share_the_processor(four_cores: None) -> None:
    assert slots() == [Slot("cpu", "cpu-0", 2), Slot("cpu", "cpu-1", 2)]
    assert slots("cpu", 3) == [Slot("cpu", f"cpu-{n}", 1) for n in range(3)]
    assert slots(None, 1) == [Slot("cpu", "cpu-0", 4)]


def test_accelerators_are_one_slot_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cores", lambda: 16)
    monkeypatch.setattr(devices, "_accelerators", lambda: ["cuda:0", "cuda:1"])
    assert slots() == [Slot("cuda:0", "cuda-0", 8), Slot("cuda:1", "cuda-1", 8)]
    assert slots("cuda:1") == [Slot("cuda:1", "cuda-1", 16)]
    assert slots("cpu", 1) == [Slot("cpu", "cpu-0", 16)]
    with pytest.raises(InputError, match=r'no device "cuda:7" .*has cuda:0, cuda:1\); choose'):
        slots("cuda:0, cuda:7")


def test_devices_that_are_not_there_are_told(four_cores: None) -> None:
    with pytest.raises(InputError, match=r'no device "cuda:0" .*none: only cpu'):
        slots("cuda:0")


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_must_be_positive(four_cores: None, jobs: int) -> None:
    with pytest.raises(InputError, match=f"--jobs {jobs} is no number"):
        slots(None, jobs)


def test_the_third_waits_until_a_slot_is_free() -> None:
    got: list[str] = []
    asked, served = threading.Event(), threading.Event()

    def third() -> None:
        asked.set()
        with lease(TWO, POLL) as slot:
            got.append(slot.name)
            served.set()

    with lease(TWO, POLL) as first:
        with lease(TWO, POLL) as second:
            assert {first.name, second.name} == {"cpu-0", "cpu-1"}
            thread = threading.Thread(target=third)
            thread.start()
            assert asked.wait(30)
            assert not served.wait(5 * POLL)
        assert served.wait(30)
        assert got == [second.name]
    thread.join(30)


def test_a_failing_block_frees_its_slot() -> None:
    with pytest.raises(ValueError, match="boom"), lease(TWO[:1], POLL):
        raise ValueError("boom")
    with lease(TWO[:1], POLL) as slot:
        assert slot == TWO[0]


def hold(pipe: Any) -> None:
    with lease(TWO[:1], POLL) as slot:
        pipe.send(slot.name)
        pipe.recv()


def test_a_killed_process_frees_its_slot() -> None:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(there,))
    process.start()
    assert here.poll(30)
    assert here.recv() == "cpu-0"
    with lease(TWO, POLL) as slot:
        assert slot.name == "cpu-1"  # the other one is held
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    with lease(TWO[:1], POLL) as slot:
        assert slot.name == "cpu-0"


def test_a_lock_folder_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with lease(TWO, POLL):
        pass
    mine = os.getuid()
    (folder,) = Path(tempfile.gettempdir()).iterdir()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    folder.rename(folder.with_name(f"fuse-then-devices-{mine + 1}"))
    with pytest.raises(InputError, match="belongs to another user; set TMPDIR"), lease(TWO, POLL):
        pass
