"""A file of ours that is cut short, empty or full of zeros is never believed, of whatever kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stages import by_hand, facts, kind_of
from test_trust import draw, quiet

from fusion.generation.remaining import remaining
from fusion.pairs import write_png
from fusion.palette import MASKS
from fusion.torch_tools import load_checkpoint, write_checkpoint
from fusion.whole import is_whole_png
from pipelines.execution.runner import drop_torn, make_here
from pipelines.execution.usage import COLUMNS, SAMPLES, _mend, read_samples, seconds_so_far
from pipelines.planning import memory
from pipelines.results.rows import resampled
from pipelines.results.rows.resampled import RESAMPLES, Resampled
from pipelines.store.contents import CONTENTS
from pipelines.store.files import FileDigests
from pipelines.store.stage import Kind, stage_of
from pipelines.store.store import MANIFEST, USAGE, Store
from pipelines.views.report.page import is_torn
from pipelines.views.tracking.tracker import Tracker
from segmentation.datasets import write_mask
from segmentation.prediction import remaining as remaining_masks

SHARES = (0.0, 0.01, 0.3, 0.6, 0.95)


def torn(path: Path) -> Iterator[None]:
    """Leave a file as power cuts may, one way after another; whole at the end."""
    whole = path.read_bytes()
    for share in SHARES:
        cut = whole[: int(share * len(whole))]
        for content in (cut, cut + bytes(len(whole) - len(cut))):
            path.write_bytes(content)
            yield
    path.write_bytes(whole[:-1])
    yield
    path.write_bytes(whole)


class Said(list[str]):
    """Sentences, counted."""

    def new(self) -> int:
        """Return how many came since the last call."""
        count = len(self)
        self.clear()
        return count


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def store(tmp_path: Path, said: Said) -> Store:
    store = Store(tmp_path / "store")
    store.say = said.append
    return store


def test_a_training_s_state(tmp_path: Path, said: Said) -> None:
    path = tmp_path / "run" / "state.pt"
    content = {"model": {"w": torch.arange(5000.0)}, "history": [{"loss": 0.5}], "epoch": 3}
    write_checkpoint(path, content)
    whole = path.read_bytes()
    for _ in torn(path):
        drop_torn(tmp_path, said.append)
        assert not path.exists()
        assert said.new() == 1
    drop_torn(tmp_path, said.append)
    assert load_checkpoint(path)["epoch"] == 3
    path.write_bytes(whole.replace(np.float32(7.0).tobytes(), np.float32(7.5).tobytes(), 1))
    drop_torn(tmp_path, said.append)
    assert not path.exists()
    assert said == [f"  broken  {path} is cut or damaged; the stage starts again without it"]


def test_images_and_masks_of_an_interrupted_run(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    source, out = tmp_path / "a.png", tmp_path / "out" / "a.png"
    out.parent.mkdir()
    write_png(source, image)
    write_png(out, image)
    for _ in torn(out):
        assert remaining({"a": source}, out.parent) == {"a": source}
    assert remaining({"a": source}, out.parent) == {}
    write_mask(out, image[:, :, 0] % len(MASKS), MASKS)
    for _ in torn(out):
        assert remaining_masks({"a": source}, out.parent, MASKS) == {"a": source}
    assert remaining_masks({"a": source}, out.parent, MASKS) == {}


def test_what_a_process_took(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES
    rows = ["5.0,100.0,200.0", "10.0,101.0,201.0", ""]
    path.write_text("\n".join([",".join(COLUMNS), *rows]))
    for _ in torn(path):
        assert seconds_so_far(tmp_path) in (0.0, 5.0, 10.0)
        _mend(path)
        assert path.read_bytes() == b"" or path.read_bytes().endswith(b"\n")
        with path.open("a") as stream:
            stream.write(
                "15.0,1.0,2.0\n" if stream.tell() else f"{','.join(COLUMNS)}\n15.0,1.0,2.0\n"
            )
        assert read_samples(tmp_path)[-1] == {
            **dict.fromkeys(COLUMNS, 15.0),
            "cpu_percent": 1.0,
            "memory_megabytes": 2.0,
        }
    assert len(read_samples(tmp_path)) == 2


def test_what_a_worker_noted(store: Store) -> None:
    stage = by_hand("fuse", 1, {})
    for text in ("", '{"cpu_seconds": 1.', '{"cpu_seconds": 1.5}'):
        with store.claim(stage, keep=False) as partial:
            (partial / USAGE).write_text(text)
            store.commit(stage, facts())
        manifest = store.manifest(stage)
        assert manifest is not None
        assert manifest.cpu_seconds == (1.5 if text.endswith("}") else None)


@pytest.mark.parametrize("name", [MANIFEST, CONTENTS, "images/39.png", "samples.png"])
def test_a_finished_stage(store: Store, said: Said, name: str) -> None:
    kind_of(draw, "draw")
    stage = stage_of(Kind("draw", 1, "stages:draw", ("images",)), {})
    path = make_here(stage, store, quiet) / name
    paranoid = Store(store.root, paranoid=True)
    for _ in torn(path):
        assert paranoid.is_finished(stage) == (name == "samples.png")  # only shown
    assert paranoid.is_finished(stage)
    path.write_bytes(path.read_bytes()[:-1])
    make_here(stage, store, quiet)
    assert said.new() == (name != "samples.png")
    assert paranoid.is_finished(stage)


def test_what_a_stage_was_begun_with(store: Store) -> None:
    stage = by_hand("train", 1, {}, {"fused": by_hand("fuse", 1, {})})
    (lock,) = [store.root / "locks" / f"train-{stage.key}"]
    with store.claim(stage, keep=True):
        pass
    for _ in torn(lock):
        (store.partial(stage) / "state.pt").write_text("epoch 3")
        with store.claim(stage, keep=True) as partial:
            assert list(partial.iterdir()) == []


def test_remembered_digests(tmp_path: Path, said: Said) -> None:
    files = [tmp_path / f"{n:04}" for n in range(200)]
    for path in files:
        path.write_text(path.name)
    database = tmp_path / "digests.sqlite"
    wanted = FileDigests(database).of(files)
    for _ in torn(database):
        assert FileDigests(database, said.append).of(files) == wanted
        assert FileDigests(database, said.append).of(files) == wanted
        assert said.new() <= 1
    opened = FileDigests(database, said.append)
    database.write_bytes(database.read_bytes()[:5000])
    assert opened.of(files) == wanted
    assert said.new() == 1


def test_resampled_scores(tmp_path: Path, said: Said) -> None:
    path = tmp_path / "resampled" / "a.npz"
    entry = Resampled(np.random.default_rng(0).random((RESAMPLES, 3)), (1, 2))
    resampled._write(path, "these", entry)
    for _ in torn(path):
        assert resampled._read(path, "these", said.append) is None
        assert said.new() == 1
    found = resampled._read(path, "these", said.append)
    assert found is not None
    assert np.array_equal(found.shares, entry.shares)
    path.unlink()
    assert resampled._read(path, "these", said.append) is None
    assert said == []


def test_remembered_experiments(
    store: Store, said: Said, write_experiment: Callable[..., Path]
) -> None:
    from pipelines.planning.plan import Plan
    from pipelines.specs.loading import load_experiment

    plan = Plan(load_experiment(str(write_experiment())), (), ())
    path = memory.remember(plan, store)
    whole = path.read_bytes()
    for _ in torn(path):
        assert memory.recall(store) == []
        assert said.new() == 1
        assert memory.remember(plan, store) == path
        assert path.read_bytes() == whole
        assert said.new() == 1
    assert [one.experiment for one in memory.recall(store)] == [plan.experiment]
    assert said == []


def test_notes_of_what_is_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = json.dumps([3, "sqlite:///x", True, "0" * 64])
    note = tmp_path / "note"
    note.write_text(state)
    tracker: Any = SimpleNamespace(_note=note, _state=lambda _: state, uri="sqlite:///x")
    monkeypatch.setattr("pipelines.views.tracking.tracker.missing", lambda _: False)
    results: Any = None
    for _ in torn(note):
        assert not Tracker.published(tracker, results)
    assert Tracker.published(tracker, results)


def test_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><html>{'<p>a' * 999}</body></html>\n")
    for _ in torn(path):
        # The last byte is an empty line's.
        assert is_torn(path) == (path.stat().st_size < 4000 or path.read_bytes().endswith(b"\0"))
    assert not is_torn(path)
    assert not is_torn(tmp_path / "none.html")


def test_pictures_that_are_drawn_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, np.zeros((9, 9, 3), np.uint8))
    for _ in torn(path):
        assert not is_whole_png(path)
    assert is_whole_png(path)
    assert not is_whole_png(tmp_path / "none.png")
