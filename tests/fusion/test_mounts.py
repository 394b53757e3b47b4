from __future__ import annotations

from pathlib import Path

import pytest
from stages import by_hand, commit

from fusion.errors import InputError
from fusion.mounts import unshared_locks
from pipelines.store.store import Store

LOCAL = "/dev/sda1 / ext4 rw,relatime 0 0\n"


def told(folder: str, mounts: Path, lines: str) -> str | None:
    mounts.write_text(LOCAL + lines)
    return unshared_locks(Path(folder), mounts)


@pytest.mark.parametrize(
    ("kind", "options", "instead"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", None),
        ("nfs", "rw,vers=3,local_lock=none", None),
        ("nfs", "rw,vers=3,nolock,local_lock=all", "without local_lock=all"),
        ("nfs", "rw,nolock", "without nolock"),
        ("nfs", "rw,vers=3,local_lock=flock", "without local_lock=flock"),
        ("nfs", "rw,vers=3,local_lock=posix", None),
        ("lustre", "rw,flock", None),
        ("lustre", "rw,localflock", "with flock"),
        ("cifs", "rw,nobrl", "without nobrl"),
        ("fuse.sshfs", "rw", "as something else"),
        ("ext4", "rw", None),
        ("overlay", "rw", None),
    ],
)
def test_locks_that_other_machines_do_not_see_are_known(
    kind: str, options: str, instead: str | None, tmp_path: Path
) -> None:
    line = f"lab:/export /mnt/the\\040lab {kind} {options} 0 0\n"
    found = told("/mnt/the lab/runs", tmp_path / "mounts", line)
    if instead is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"/mnt/the lab/runs lies on {kind} (lab:/export), where locks")
        assert f"Mount it {instead}" in found
    assert told("/mnt/the labs/runs", tmp_path / "mounts", line) is None


def test_what_is_mounted_last_and_deepest_counts(tmp_path: Path) -> None:
    local, unshared = "/dev/sdb /mnt/a ext4 rw 0 0\n", "lab:/ /mnt/a nfs rw,nolock 0 0\n"
    assert told("/mnt/a/b", tmp_path / "mounts", local + unshared) is not None
    assert told("/mnt/a/b", tmp_path / "mounts", unshared + local) is None
    deeper = "/dev/sdb /mnt/a/b ext4 rw 0 0\n"
    assert told("/mnt/a/b/c", tmp_path / "mounts", deeper + unshared) is None


def test_a_machine_that_says_nothing_is_believed(tmp_path: Path) -> None:
    assert unshared_locks(tmp_path, tmp_path / "none") is None
    (tmp_path / "odd").write_text("\n/ x\n")
    assert unshared_locks(tmp_path, tmp_path / "odd") is None


def test_nothing_is_made_in_a_store_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "mounts"
    monkeypatch.setattr(
        "pipelines.store.store.unshared_locks", lambda folder: unshared_locks(folder, where)
    )
    stage = by_hand("index", 1, {})
    where.write_text(LOCAL)
    commit(Store(tmp_path / "store"), stage)
    where.write_text(f"lab:/export {tmp_path} nfs rw,nolock 0 0\n")
    store = Store(tmp_path / "store")
    assert store.is_finished(stage)  # reading harms nothing
    told = pytest.raises(InputError, match=r"without nolock, or give another store with --store\.$")
    with told, store.claim(stage, keep=False):
        pass
