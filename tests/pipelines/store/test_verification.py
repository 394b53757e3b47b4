"""The whole store read again: what is broken is named, and set aside where that is wanted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from stages import kind_of
from test_trust import draw, flip, learn, quiet

from pipelines.cli.app import main
from pipelines.execution.runner import make_here
from pipelines.store.contents import CONTENTS
from pipelines.store.stage import Kind, Stage, stage_of
from pipelines.store.store import MANIFEST, Store, locked
from pipelines.store.verification import look, repair


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.say = lambda _: None
    return store


@pytest.fixture
def made(store: Store) -> tuple[Stage, Stage]:
    """Two finished stages, the second made of the first; all files are of the same moment."""
    kind_of(draw, "draw")
    kind_of(learn, "learn")
    fused = stage_of(Kind("fuse", 1, "stages:draw", ("images",)), {})
    trained = stage_of(
        Kind("train_detector", 1, "stages:learn", ("weights.pt",)), {}, {"fused": fused}
    )
    for stage in (fused, trained):
        make_here(stage, store, quiet)
        for path in store.directory(stage).rglob("*"):
            os.utime(path, (1e9, 1e9))
    return fused, trained


def verified(store: Store, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["store", "verify", "--store", str(store.root), *words])
    return code, capsys.readouterr().out


def test_a_whole_store_is_said_to_be_so(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(store, capsys) == (0, "2 stages, 44 listed files, 0 MB: 0 broken\n")
    assert verified(Store(store.root / "empty"), capsys)[0] == 0


@pytest.mark.parametrize("name", [f"images/{n:02}.png" for n in range(0, 40, 9)])
def test_every_bit_counts_and_repairing_lets_it_be_made_again(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    fused, trained = made
    flip(store.directory(fused) / name)
    code, out = verified(store, capsys)
    assert code == 1
    assert f"broken    {fused.title}: {name} is not what was written (its digest differs)\n" in out
    assert f"still right: {trained.title}, finished before the file changed\n" in out
    assert "1 broken; --repair sets them aside" in out
    code, out = verified(store, capsys, "--repair")
    assert code == 1
    assert f"{fused.title} is set aside in {store.root / 'broken'}" in out
    assert verified(store, capsys)[0] == 0
    assert store.manifest(fused) is None
    make_here(fused, store, quiet)
    assert store.is_finished(fused)
    assert store.is_finished(trained)


def test_what_was_made_of_it_after_the_file_changed_is_in_doubt(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    fused, trained = made
    flip(store.directory(fused) / "images" / "05.png")
    os.utime(store.directory(fused) / "images" / "05.png", (1e9 + 5, 1e9 + 5))
    os.utime(store.directory(trained) / MANIFEST, (1e9 + 9, 1e9 + 9))
    assert f"in doubt: {trained.title}, finished after" in verified(store, capsys, "--repair")[1]
    assert store.manifest(trained) is None
    assert {path.name.split("-")[0] for path in (store.root / "broken").iterdir()} == {
        "fuse",
        "train_detector",
    }


def test_a_change_without_a_time_is_said_to_be_one(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    fused, trained = made
    flip(store.directory(fused) / "images" / "05.png")
    os.utime(store.directory(fused) / "images" / "05.png", (1e9, 1e9))
    assert f"{trained.title}: made of it, and kept" in verified(store, capsys)[1]


def test_a_damaged_file_that_only_views_show_costs_no_training(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    _, trained = made
    (store.directory(trained) / "history.csv").write_text("epoch,lo")
    code, out = verified(store, capsys, "--repair")
    assert code == 1
    assert f"damaged   {trained.title}: history.csv has 8 bytes, not 17\n" in out
    assert f"{trained.title} stays; history.csv, which only views show" in out
    assert store.is_finished(trained)
    assert verified(store, capsys)[0] == 0


def test_a_manifest_that_is_torn_or_another_s_is_named(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    fused, trained = made
    (store.directory(fused) / MANIFEST).write_text("{")
    other = store.directory(trained).with_name("0" * 16)
    store.directory(trained).rename(other)
    out = verified(store, capsys)[1]
    assert f"{fused.title}: manifest.json is torn" in out
    assert f"train_detector/{'0' * 16}: manifest.json is of {trained.title}" in out


def test_stages_of_before_are_checked_as_far_as_they_go_and_said_so(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.directory(made[0])
    (folder / CONTENTS).unlink()
    manifest = json.loads((folder / MANIFEST).read_text())
    known = {key: own for key, own in manifest.items() if key not in ("contents", "seal")}
    (folder / MANIFEST).write_text(json.dumps(known))
    code, out = verified(store, capsys)
    assert (code, "1 stages are of before files were listed" in out) == (0, True)
    flip(folder / "images" / "39.png")
    assert "images: not what was written (the digest of all differs)" in verified(store, capsys)[1]


def test_a_stage_that_is_being_made_is_left_alone(
    store: Store, made: tuple[Stage, Stage], capsys: pytest.CaptureFixture[str]
) -> None:
    fused = made[0]
    flip(store.directory(fused) / "images" / "05.png")
    with locked(store.root, fused.title.replace("/", "-")):
        assert f"{fused.title} is being made by another" in verified(store, capsys, "--repair")[1]
    assert store.directory(fused).is_dir()


def test_a_stage_made_again_meanwhile_is_left_alone(
    store: Store, made: tuple[Stage, Stage]
) -> None:
    fused = made[0]
    (store.directory(fused) / "images" / "05.png").write_bytes(b"")
    looked = look(store, {}, lambda *_: None)
    manifest = store.directory(fused) / MANIFEST
    make_here(fused, store, quiet)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "seconds": 7.0}))
    assert list(repair(store, looked)) == []
    assert store.is_finished(fused)
