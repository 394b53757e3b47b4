from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
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


def without_accelerators(cores: int) -> Callable[..., list[Slot]]:
    return partial(slots, cores=lambda: cores, accelerators=lambda named: {})


def test_trainings_share_the_processor() -> None:
    made = without_accelerators(4)
    assert made() == [Slot("cpu", "cpu-0", 2), Slot("cpu", "cpu-1", 2)]
    assert made("cpu", 3) == [Slot("cpu", f"cpu-{n}", 1) for n in range(3)]
    assert made(None, 1) == [Slot("cpu", "cpu-0", 4)]


def test_accelerators_are_one_slot_each() -> None:
    cards = {"cuda:0": "b7", "cuda:1": "a3"}
    made = partial(slots, cores=lambda: 16, accelerators=lambda named: cards)
    assert made() == [Slot("cuda:0", "card-b7", 8), Slot("cuda:1", "card-a3", 8)]
    assert made("cuda:1") == [Slot("cuda:1", "card-a3", 16)]
    assert made("cpu", 1) == [Slot("cpu", "cpu-0", 16)]
    with pytest.raises(InputError, match=r'no device "cuda:7" .*has cuda:0, cuda:1\); choose'):
        made("cuda:0, cuda:7")


def test_devices_that_are_not_there_are_told() -> None:
    with pytest.raises(InputError, match=r'no device "cuda:0" .*none: only cpu'):
        without_accelerators(4)("cuda:0")


def test_a_card_is_one_lease_whatever_its_number_is() -> None:
    alone = partial(slots, cores=lambda: 2, accelerators=lambda named: {"cuda:0": "a3"})
    both = partial(slots, cores=lambda: 2, accelerators=lambda named: {"cuda:0": "b7", **second})
    second = {"cuda:1": "a3"}
    with lease(alone(), POLL), lease(both(), POLL) as other:  # as under CUDA_VISIBLE_DEVICES=1
        assert other.device == "cuda:0"


def test_a_device_that_is_named_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # not above: processes that are started import this file

    card = SimpleNamespace(uuid="a3")
    monkeypatch.setattr(devices, "DRIVERS", ())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    assert slots("cuda:0", cores=lambda: 1) == [Slot("cuda:0", "card-a3", 1)]
    assert slots(cores=lambda: 1) == [Slot("cpu", "cpu-0", 1)]


def test_rehearsals_are_leased_as_accelerators_are() -> None:
    made = without_accelerators(4)
    two = [Slot("rehearse:0", "rehearse-0", 2), Slot("rehearse:1", "rehearse-1", 2)]
    assert made("rehearse:2") == two
    with lease(two, POLL) as first, lease(two, POLL) as second:
        assert (first, second) == tuple(two)


@pytest.mark.parametrize("devices", ["rehearse:0", "rehearse:x", "cpu,rehearse:1", "rehearse:"])
def test_rehearsals_are_a_number(devices: str) -> None:
    with pytest.raises(InputError, match=r'no number of rehearsals; give "rehearse:2"'):
        without_accelerators(4)(devices)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_must_be_positive(jobs: int) -> None:
    with pytest.raises(InputError, match=f"--jobs {jobs} is no number"):
        without_accelerators(4)(None, jobs)


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


def test_who_takes_the_lock_folders_name_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / f"fuse-then-devices-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with lease(TWO, POLL) as first, lease(TWO, POLL) as second:
        assert {first.name, second.name} == {"cpu-0", "cpu-1"}
        (own,) = (tmp_path / "cache" / "fuse-then").iterdir()
        assert own.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in own.iterdir()} == {0o600}
    assert not (tmp_path / "theirs").exists()
