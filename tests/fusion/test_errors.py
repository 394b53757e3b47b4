"""What a sentence, a manifest and a view do not say: passwords, and where things lie here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusion.errors import InputError, without_folders, without_passwords
from fusion.locks import lock_file, own_folder


def test_passwords_in_addresses_are_left_out() -> None:
    told = "no MLflow at https://me:s3cret@host:5000/x, nor at http://t0ken@host, sqlite:////a@b"
    shown = "no MLflow at https://***@host:5000/x, nor at http://***@host, sqlite:////a@b"
    assert without_passwords(told) == str(InputError(told)) == shown


def test_full_paths_are_cut_to_their_names() -> None:
    told = (
        "fuse-then compare /home/me/x.yaml --store=~/runs --set root=/data/m3fd/ a/b 1/2 http://h/a"
    )
    shown = "fuse-then compare .../x.yaml --store=.../runs --set root=.../ a/b 1/2 http://h/a"
    assert without_folders(told) == shown


def test_only_the_user_can_open_a_lock(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (tmp_path / "old").touch(mode=0o666)
        for name in ("old", "new"):
            with lock_file(tmp_path / name):
                assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert own_folder(tmp_path / "folder")
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
        (tmp_path / "folder").chmod(0o777)
        assert own_folder(tmp_path / "folder")
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_link_is_nobodys_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert not own_folder(tmp_path / "link")
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        lock_file(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
