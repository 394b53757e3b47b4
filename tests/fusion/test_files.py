from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from fusion.errors import InputError
from fusion.files import write_atomically, write_durably
from fusion.torch_tools import limited_threads, load_checkpoint, resolve_device, write_checkpoint


def test_text_bytes_and_functions_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "über\r\n")
    assert path.read_bytes() == "über\r\n".encode()
    write_atomically(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    write_atomically(path, lambda stream: stream.write(b"by hand"))
    assert path.read_bytes() == b"by hand"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(stream: BinaryIO) -> None:
        stream.write(b"half of the ne")
        stream.flush()
        assert path.read_text() == "old"  # what a reader sees meanwhile
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_written_durably_is_on_disk_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []
    fsync = os.fsync

    def synchronise(descriptor: int) -> None:
        fsync(descriptor)
        seen.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", synchronise)
    write_durably(path, lambda stream: stream.write(b"by hand"))
    assert path.read_bytes() == b"by hand"
    assert seen == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    write_durably(path, "text")
    write_durably(path, b"bytes")
    assert path.read_bytes() == b"bytes"


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "a.txt", "text")


def test_equal_checkpoints_are_equal_files_whatever_their_names(tmp_path: Path) -> None:
    content = {"state_dict": {"w": torch.arange(6.0)}, "epochs": 3}
    paths = [tmp_path / "new" / name for name in ("a.pt", "another.pt")]
    for path in paths:
        write_checkpoint(path, content)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    loaded = load_checkpoint(paths[0])
    assert loaded["epochs"] == 3
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(6.0))


def test_threads_are_given_back_also_after_an_error() -> None:
    before = torch.get_num_threads()
    seen = []

    def fail() -> None:
        with limited_threads(before + 1):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
    with limited_threads(None):
        assert torch.get_num_threads() == before
    with pytest.raises(InputError, match="threads is 0; use 1 or more"), limited_threads(0):
        pass


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "xla"])
def test_a_device_that_is_not_there_is_a_sentence(name: str) -> None:
    with pytest.raises(InputError, match=f'evice "{name}"'):
        resolve_device(name)


def test_the_processor_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
