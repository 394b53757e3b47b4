from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusion.errors import InputError
from pipelines.store import files
from pipelines.store.digests import derive_seed, digest, names_digest
from pipelines.store.files import FileDigests, file_digest, tree_digest


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})


def test_names_digest_does_not_depend_on_the_order_of_listing() -> None:
    assert names_digest({"x": "1", "y": "2"}) == names_digest({"y": "2", "x": "1"})
    assert names_digest({"x": "1", "y": "2"}) != names_digest({"x": "2", "y": "1"})


def test_seeds_come_from_names_alone() -> None:
    first = {name: derive_seed("detection", name) for name in ("a", "b", "c")}
    again = {name: derive_seed("detection", name) for name in ("c", "new", "b", "a")}
    assert all(again[name] == seed for name, seed in first.items())
    assert len(set(again.values())) == 4
    assert derive_seed("detection", 0) != derive_seed("segmentation", 0)
    assert all(0 <= derive_seed("x", n) < 2**31 for n in range(200))
    assert derive_seed("detection", 0) == 2016683474  # a change here changes every result


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were really read."""
    paths: list[Path] = []

    def counted(path: Path) -> str:
        paths.append(path)
        return file_digest(path)

    monkeypatch.setattr(files, "file_digest", counted)
    return paths


def test_an_unchanged_file_is_read_once(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    first = FileDigests(tmp_path / "db.sqlite").of([path])
    assert FileDigests(tmp_path / "db.sqlite").of([path]) == first == {path: file_digest(path)}
    assert read == [path]


def test_changed_content_is_read_again(tmp_path: Path, read: list[Path]) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    known = FileDigests(tmp_path / "db.sqlite")
    before = known.of([path, other])
    path.write_bytes(b"longer")
    after = known.of([path, other])
    assert after[path] == file_digest(path) != before[path]
    assert after[other] == before[other]
    assert read.count(other) == 1


def test_a_copy_with_its_old_size_and_time_is_read_again(tmp_path: Path) -> None:
    path, new = tmp_path / "a.xml", tmp_path / "new"
    path.write_bytes(b"Car")
    known = FileDigests(tmp_path / "db.sqlite")
    before = known.of([path])[path]
    state = path.stat()
    changed = state.st_ctime_ns
    while changed == state.st_ctime_ns:  # the clock of the file system ticks coarsely
        new.write_bytes(b"Bus")
        os.utime(new, ns=(state.st_atime_ns, state.st_mtime_ns))
        changed = new.stat().st_ctime_ns
    new.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (3, state.st_mtime_ns)
    assert known.of([path])[path] == file_digest(path) != before


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    link = tmp_path / "a.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"a\.png cannot be opened \(No such file"):
        FileDigests(tmp_path / "db.sqlite").of([link])


def test_tree_digest_sees_names_and_bytes_of_what_counts_only(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"1")
    (tmp_path / "weights.pt").write_bytes(b"2")
    before = tree_digest(tmp_path, ["images", "weights.pt"])
    (tmp_path / "log.txt").write_text("noise")
    assert tree_digest(tmp_path, ["images", "weights.pt"]) == before
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "b.png")
    assert tree_digest(tmp_path, ["images", "weights.pt"]) != before


@pytest.mark.parametrize("refused", ["at once", "later"])
def test_digests_that_cannot_be_kept_are_a_line_and_all_files_are_read(
    refused: str, tmp_path: Path, read: list[Path]
) -> None:
    file, said = tmp_path / "a", list[str]()
    file.write_bytes(b"a")
    place = tmp_path / "digests.sqlite"
    known = FileDigests(place, said.append) if refused == "later" else None
    place.unlink(missing_ok=True)
    place.mkdir()  # which SQLite cannot open
    known = known or FileDigests(place, said.append)
    for _ in range(2):
        assert known.of([file]) == {file: file_digest(file)}
    assert read == [file, file]
    (line,) = said
    assert line.startswith(f"  left out  {place} (unable to open")
