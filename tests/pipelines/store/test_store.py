from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from stages import by_hand, facts

from fusion.errors import InputError
from pipelines.store.stage import Stage
from pipelines.store.store import MANIFEST, Busy, Store, open_store, words_for

SPAWN = multiprocessing.get_context("spawn")


def finish(store: Store, stage: Stage, result: str = "r", text: str = "data") -> None:
    with store.claim(stage, keep=False) as partial:
        (partial / "file").write_text(text)
        store.commit(stage, facts(digest=result))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_the_key_depends_on_what_determines_the_result_only() -> None:
    first = by_hand("fuse", 1, {"method": "average"})
    assert first.key == by_hand("fuse", 1, {"method": "average"}, local={"root": "/x"}).key
    others = [
        by_hand("fuse", 2, {"method": "average"}),
        by_hand("detect", 1, {"method": "average"}),
        by_hand("fuse", 1, {"method": "maximum"}),
        by_hand("fuse", 1, {"method": "average"}, {"weights": by_hand("train", 1, {})}),
    ]
    assert len({first.key, *(stage.key for stage in others)}) == 5
    assert first.title == f"fuse/{first.key}"
    assert len(first.key) == 16


def test_a_finished_stage_has_a_manifest_and_no_partial(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    assert store.manifest(stage) is None
    finish(store, stage)
    manifest = store.manifest(stage)
    assert manifest is not None
    assert (manifest.kind, manifest.key, manifest.digest) == ("fuse", stage.key, "r")
    assert manifest.inputs == {}
    assert (store.directory(stage) / "file").read_text() == "data"
    assert not store.partial(stage).exists()


def test_a_partial_directory_does_not_count(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    with store.claim(stage, keep=False) as partial:
        (partial / "file").write_text("half")
        (partial / MANIFEST).write_text("{}")
        assert store.manifest(stage) is None
    assert store.manifest(stage) is None


def test_a_crash_before_the_rename_leaves_nothing_that_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    stage = by_hand("fuse", 1, {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            finish(store, stage)
    assert store.manifest(stage) is None
    assert (store.partial(stage) / MANIFEST).exists()
    finish(store, stage)
    assert store.manifest(stage) is not None


def test_all_is_on_disk_before_it_counts_and_then_that_it_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = by_hand("fuse", 1, {})
    synced: set[int] = set()
    lost: list[set[str]] = []
    fsync, rename = os.fsync, Path.rename

    def synchronise(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def power_cut(self: Path, target: Path) -> Path:
        places = [self, *self.rglob("*")]
        lost.append({place.name for place in places if place.stat().st_ino not in synced})
        synced.clear()
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synchronise)
    monkeypatch.setattr(Path, "rename", power_cut)
    with store.claim(stage, keep=False) as out:
        (out / "images" / "more").mkdir(parents=True)
        for name in ("a.png", "b.png", "more/c.png"):
            (out / "images" / name).write_bytes(b"image")
        store.commit(stage, facts(digest="r"))
    assert lost == [set()]
    finished = store.directory(stage)
    places = (finished.parent, finished.parent.parent, store.root, store.partial(stage).parent)
    assert {place.stat().st_ino for place in places} <= synced


def test_a_claim_wipes_what_was_left_unless_told_to_keep(store: Store) -> None:
    stage = by_hand("train_fusion", 1, {})
    with store.claim(stage, keep=True) as partial:
        (partial / "state.pt").write_text("epoch 3")
        (partial / "images").mkdir()
        (partial / "images" / "a.png.77.part").write_text("half")
    with store.claim(stage, keep=True) as partial:
        assert (partial / "state.pt").read_text() == "epoch 3"
        assert list((partial / "images").iterdir()) == []
    with store.claim(stage, keep=False) as partial:
        assert list(partial.iterdir()) == []


def test_a_claim_wipes_what_was_made_of_an_input_that_was_made_again(store: Store) -> None:
    first, second, _ = chain()
    finish(store, first)
    with store.claim(second, keep=True) as partial:
        (partial / "state.pt").write_text("epoch 3")
    finish(store, first)  # to the same result
    with store.claim(second, keep=True) as partial:
        assert (partial / "state.pt").read_text() == "epoch 3"
        with pytest.raises(Busy), store.claim(second, keep=True):
            pass
    finish(store, first, "another")
    with store.claim(second, keep=True) as partial:
        assert list(partial.iterdir()) == []


def chain() -> tuple[Stage, Stage, Stage]:
    first = by_hand("fuse", 1, {})
    second = by_hand("train", 1, {}, {"fused": first})
    return first, second, by_hand("detect", 1, {}, {"detector": second})


def test_another_result_of_an_input_makes_all_downstream_stale(store: Store) -> None:
    first, second, third = chain()
    for stage in (first, second, third):
        finish(store, stage)
    finish(store, first, "another")
    assert store.manifest(first) is not None
    assert store.manifest(second) is None
    assert store.manifest(third) is None
    finish(store, second)  # to the same result as before
    assert store.manifest(second) is not None
    assert store.manifest(third) is not None


def test_the_same_result_made_again_keeps_downstream(store: Store) -> None:
    first, second, third = chain()
    for stage in (first, second, third, first):
        finish(store, stage)
    assert store.manifest(third) is not None


def test_an_input_removed_to_save_space_does_no_harm(store: Store) -> None:
    first, second, third = chain()
    for stage in (first, second, third):
        finish(store, stage)
    store.directory(first).rename(store.root / "elsewhere")
    assert store.manifest(second) is not None
    assert store.manifest(third) is not None


def test_a_stale_stage_is_replaced_whole(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    finish(store, stage)
    (store.directory(stage) / "old").write_text("old")
    finish(store, stage, "new", "new data")
    assert sorted(p.name for p in store.directory(stage).iterdir()) == ["file", MANIFEST]
    assert list((store.root / "partial").iterdir()) == []


def hold(root: Path, stage: Stage, pipe: Any) -> None:
    with Store(root).claim(stage, keep=False):
        pipe.send("held")
        pipe.recv()


def test_a_second_process_is_kept_out_until_the_first_is_killed(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(store.root, stage, there))
    process.start()
    assert here.poll(30)
    assert here.recv() == "held"
    with pytest.raises(Busy, match=stage.title), store.claim(stage, keep=False):
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    with store.claim(stage, keep=False) as partial:
        assert partial.is_dir()


def test_stages_do_not_lock_each_other(store: Store) -> None:
    one, two = by_hand("fuse", 1, {"n": 1}), by_hand("fuse", 1, {"n": 2})
    with store.claim(one, keep=False) as a, store.claim(two, keep=False) as b:
        assert a != b


def test_the_store_is_found_where_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_STORE", str(tmp_path / "variable"))
    monkeypatch.chdir(tmp_path)
    assert open_store(tmp_path / "given").root == tmp_path / "given"
    assert open_store().root == tmp_path / "variable"
    monkeypatch.delenv("FUSE_THEN_STORE")
    assert open_store().root == tmp_path / "runs"
    assert words_for(open_store()) == words_for(open_store(tmp_path / "runs")) == ()
    assert words_for(open_store(tmp_path / "given")) == ("--store", str(tmp_path / "given"))


def test_a_store_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be created .*; give another with --store"):
        open_store(tmp_path / "file" / "store")


def test_manifests_are_plain_json(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    finish(store, stage)
    assert json.loads((store.directory(stage) / MANIFEST).read_text())["digest"] == "r"


def test_a_torn_manifest_does_not_count(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    finish(store, stage)
    path = store.directory(stage) / MANIFEST
    path.write_bytes(path.read_bytes()[:40])
    assert store.manifest(stage) is None
    finish(store, stage)
    assert store.is_finished(stage)
