"""What the machine refuses is said in a sentence, wherever it meets us, and a view is spared."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fusion.errors import InputError
from pipelines.execution import faults
from pipelines.execution.faults import Room, is_the_machines, refusal, room, spared
from pipelines.execution.runner import NO_SLOT, make_stage
from pipelines.execution.worker import StageFailed
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import Store


def raised(error: Exception, behind: Exception) -> Exception:
    """Return `error` as it is raised while another is handled."""
    error.__context__ = behind
    return error


REFUSED = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EDQUOT, "Quota", "/x/a.png"), "/x/a.png: Quota ("),
        (OSError(errno.ESTALE, "Stale", "a", None, "b"), "b: Stale; see that the network"),
        (OSError(errno.EMFILE, "Too many open files", "a"), "(ulimit -n)"),
        (BlockingIOError(errno.EAGAIN, "no process"), "let this user start more processes"),
        (RuntimeError("can't start new thread"), "No further thread in {place}; let"),
        (OSError(errno.EFBIG, "File too large", "a"), "write larger files (ulimit -f)"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a"), "a: No such file; it was removed"),
        (REFUSED, "{place}: No space left on device ("),
        (raised(ValueError("?"), REFUSED), "{place}: No space left on device ("),
        (RuntimeError("[enforce fail] No space left on device"), "{place}: No space left on"),
        (ExceptionGroup("two", [ValueError("?"), REFUSED]), "{place}: No space left on device ("),
        (sqlite3.OperationalError("disk I/O error"), "A database in {place} cannot be used (disk"),
    ],
)
def test_it_is_said_what_was_refused_where_and_how_much_is_free(
    error: Exception, said: str, tmp_path: Path
) -> None:
    told = refusal(error, tmp_path)
    assert told is not None
    assert said.format(place=tmp_path) in told
    assert (" free" in told) == ("room" in told)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        RuntimeError("shapes do not fit"),
        raised(KeyError("key"), FileNotFoundError(errno.ENOENT, "No such file", "a")),
        raised(KeyError("key"), BlockingIOError(errno.EAGAIN, "locked")),
    ],
)
def test_a_mistake_of_ours_is_not_blamed_on_the_machine(error: Exception, tmp_path: Path) -> None:
    assert refusal(error, tmp_path) is None


def test_a_full_disk_is_told_though_a_library_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = RuntimeError("unexpected pos 64 vs 0")
    assert refusal(bug, tmp_path) is None
    monkeypatch.setattr(faults, "room", lambda place: Room(4096, 7))
    assert refusal(bug, tmp_path) == f"{tmp_path}: {bug} (0 MB free); make room"


@pytest.mark.parametrize(
    ("blocks", "files", "free"),
    [(2**20, 9, "4295 MB"), (2**20, 0, "no inode (so no further file)")],
)
def test_room_is_of_bytes_and_of_files(
    blocks: int, files: int, free: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"f_bavail": blocks // 1024, "f_frsize": 4_194_304, "f_files": 9, "f_favail": files}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**state))
    found = room(tmp_path / "not" / "there")
    assert found is not None
    assert str(found) == free.replace("4295 MB", "4 GB")
    assert found.none == (files == 0)


def test_what_the_user_gave_is_the_users_to_mend() -> None:
    def told(number: int) -> Exception:
        error = InputError("x cannot be opened; check the path.")
        error.__cause__ = OSError(number, os.strerror(number), "x")
        return error

    assert is_the_machines(told(errno.EIO))
    assert is_the_machines(told(errno.ENOSPC))
    assert not is_the_machines(told(errno.EACCES))
    assert not is_the_machines(told(errno.ENOENT))


def test_a_view_is_spared_and_a_bug_in_it_is_not() -> None:
    said: list[str] = []
    with spared("the report", said.append):
        raise OSError(errno.EROFS, "Read-only file system", "page.html")
    assert said[0].startswith("  left out  the report: page.html: Read-only file system; ")
    with pytest.raises(ValueError, match="a bug"), spared("the report", said.append):
        raise ValueError("a bug")


@pytest.mark.parametrize("moment", ["claim", "commit", "body"])
def test_a_stage_that_the_disk_refuses_fails_with_a_sentence(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, stage = Store(tmp_path), Stage(Kind("fake", 1, ""), {})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment != "body":
        monkeypatch.setattr(Store, moment, refuse)
    execute: Callable[..., dict[str, object]] = lambda *_: refuse() or {}  # noqa: E731
    with pytest.raises(StageFailed, match=r"partial/fake-\w+: No space left on device \(.* free"):
        make_stage(stage, store, execute if moment == "body" else lambda *_: {}, NO_SLOT)
    assert not store.is_finished(stage)
