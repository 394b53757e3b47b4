"""What was finished is looked at before it is used; what is broken is set aside and made again."""

from __future__ import annotations

import errno
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import kind_of

from pipelines.cli.plan import _state
from pipelines.execution.job import Job
from pipelines.execution.runner import Step, make_here
from pipelines.execution.worker import StageFailed
from pipelines.results.finished import read_stage
from pipelines.store import trust
from pipelines.store.contents import CONTENTS
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.store.store import MANIFEST, Store
from pipelines.store.trust import SAMPLED

IMAGES = 40


def quiet(done: int, total: int, remark: str) -> None:
    """Take a report of progress."""


def draw(job: Job) -> Metrics:
    """Leave images, as fusing does."""
    (job.out / "images").mkdir()
    for n in range(IMAGES):
        (job.out / "images" / f"{n:02}.png").write_bytes(random.Random(n).randbytes(300))
    (job.out / "samples.png").write_bytes(b"sheet")
    (job.out / "curves.json").write_text("[0.5, 0.25]")
    return {"images": IMAGES, "seconds": 0.1}


def learn(job: Job) -> Metrics:
    """Leave weights of what the images are, as training does."""
    images = sorted((job.inputs["fused"] / "images").iterdir())
    (job.out / "weights.pt").write_bytes(b"".join(path.read_bytes()[:9] for path in images))
    (job.out / "history.csv").write_text("epoch,loss\n1,0.5\n")
    return {}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    told: list[str] = []
    store.say = told.append
    store.told = told  # type: ignore[attr-defined]
    return store


@pytest.fixture
def fused() -> Stage:
    kind = kind_of(draw, "draw")
    return stage_of(Kind(kind.name, 1, kind.body, ("images",)), {"method": "average"})


@pytest.fixture
def trained(fused: Stage) -> Stage:
    kind = kind_of(learn, "learn")
    return stage_of(Kind(kind.name, 1, kind.body, ("weights.pt",)), {}, {"fused": fused})


def told(store: Store) -> list[str]:
    """Return what the store has said."""
    return store.told  # type: ignore[attr-defined, no-any-return]


def flip(path: Path) -> None:
    """Change one bit of a file, as a disk may."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


Spoil = Callable[[Path], object]
SPOILED: dict[str, tuple[str, Spoil, str]] = {
    "emptied": ("images/07.png", lambda path: path.write_bytes(b""), "has 0 bytes, not 300"),
    "cut": ("images/39.png", lambda path: path.write_bytes(b"x" * 299), "has 299 bytes, not 300"),
    "gone": ("images/11.png", Path.unlink, "is missing"),
    "a folder": ("images/11.png", lambda path: (path.unlink(), path.mkdir()), "is no file"),
    "all": ("images", shutil.rmtree, "images/00.png is missing"),
    "no list": (CONTENTS, Path.unlink, "gone or not what was written"),
    "list": (CONTENTS, flip, "gone or not what was written"),
    "what tables use": ("curves.json", flip, "curves.json is not what was written"),
    "torn": (MANIFEST, lambda path: path.write_bytes(path.read_bytes()[:99]), "is torn"),
    "no manifest": (MANIFEST, Path.unlink, "manifest.json is missing"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_broken_is_made_again_and_what_was_made_of_it_stays(
    store: Store, fused: Stage, trained: Stage, how: str
) -> None:
    folder, weights = make_here(fused, store, quiet), make_here(trained, store, quiet)
    before = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    name, spoil, why = SPOILED[how]
    spoil(folder / name)
    assert not store.is_finished(fused)
    assert store.is_finished(trained)
    make_here(fused, store, quiet)
    assert {path.name: path.read_bytes() for path in (folder / "images").iterdir()} == before
    assert store.is_finished(fused)
    assert store.is_finished(trained)
    assert weights.is_dir()
    (sentence,) = told(store)
    assert sentence.startswith(f"  broken  {fused.title}: ")
    assert why in sentence
    (aside,) = (store.root / "broken").iterdir()
    assert why in (aside / "why.txt").read_text()
    assert str(aside) in sentence


def test_a_flipped_bit_of_weights_is_always_found(
    store: Store, fused: Stage, trained: Stage
) -> None:
    make_here(fused, store, quiet)
    weights = make_here(trained, store, quiet) / "weights.pt"
    right = weights.read_bytes()
    for _ in range(2):
        flip(weights)
        assert not store.is_finished(trained)
        make_here(trained, store, quiet)
        assert weights.read_bytes() == right
    assert ["weights.pt is not what was written" in one for one in told(store)] == [True, True]
    assert len(list((store.root / "broken").iterdir())) == 2


def test_a_flipped_bit_of_an_image_is_found_in_the_sample_and_by_whoever_asks_for_all(
    store: Store, fused: Stage
) -> None:
    folder = make_here(fused, store, quiet)
    paranoid, seen = Store(store.root, paranoid=True), []
    for path in sorted((folder / "images").iterdir()):
        flip(path)
        seen.append(not store.is_finished(fused))
        assert not paranoid.is_finished(fused)
        flip(path)
        assert store.is_finished(fused)
    assert sum(seen) == SAMPLED
    assert paranoid.is_finished(fused)


def test_a_broken_image_trains_nothing(store: Store, fused: Stage, trained: Stage) -> None:
    folder = make_here(fused, store, quiet)
    (folder / "images" / "07.png").write_bytes(b"")
    with pytest.raises(StageFailed, match=r"is broken \(images/07.png has 0 bytes, not 300\)"):
        make_here(trained, store, quiet)
    assert store.manifest(trained) is None
    make_here(fused, store, quiet)
    make_here(trained, store, quiet)
    assert store.is_finished(trained)


@pytest.mark.parametrize("part", ["metrics", "spec", "inputs", "contents"])
def test_a_manifest_whose_result_has_changed_does_not_count(
    store: Store, fused: Stage, trained: Stage, part: str
) -> None:
    make_here(fused, store, quiet)
    path = make_here(trained, store, quiet) / MANIFEST
    manifest = json.loads(path.read_text())
    value = "0" * 64 if part == "contents" else {**manifest[part], "points": 0.9}
    path.write_text(json.dumps({**manifest, part: value}))
    assert store.manifest(trained) is None
    path.write_text(json.dumps({**manifest, "seconds": 7.0}))
    assert store.is_finished(trained)


def test_a_plan_says_what_is_broken_and_views_take_nothing_from_it(
    store: Store, fused: Stage, trained: Stage
) -> None:
    make_here(fused, store, quiet)
    folder = make_here(trained, store, quiet)
    step = Step("train", (trained,))
    assert step.cached(store)
    assert _state(trained, store)[0] == "cached"
    (folder / "history.csv").write_text("epoch,loss\n1,0.")
    finished = read_stage(trained, store)
    assert finished is not None
    assert not finished.intact()
    flip(folder / "weights.pt")
    assert not step.cached(store)
    assert read_stage(trained, store) is None
    told = " (broken: weights.pt is not what was written (its digest differs))"
    assert _state(trained, store) == ("to run", told)


def test_a_stage_of_before_there_were_lists_is_looked_at_as_far_as_it_goes(
    store: Store, fused: Stage, trained: Stage
) -> None:
    for stage in (fused, trained):
        folder = make_here(stage, store, quiet)
        (folder / CONTENTS).unlink()
        manifest = json.loads((folder / MANIFEST).read_text())
        known = {key: own for key, own in manifest.items() if key not in ("contents", "seal")}
        (folder / MANIFEST).write_text(json.dumps(known))
        assert store.is_finished(stage)
    flip(store.directory(trained) / "weights.pt")
    assert not store.is_finished(trained)
    image = store.directory(fused) / "images" / "00.png"
    flip(image)
    assert store.is_finished(fused)  # which image was what nobody wrote down
    assert not Store(store.root, paranoid=True).is_finished(fused)
    image.write_bytes(b"")
    assert not store.is_finished(fused)
    shutil.rmtree(image.parent)
    assert not store.is_finished(fused)


def test_what_the_disk_will_not_read_is_not_taken_for_broken(
    store: Store, fused: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_here(fused, store, quiet)

    def refuse(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(trust, "file_digest", refuse)
    trust._digests.clear()
    with pytest.raises(OSError, match="Input/output error"):
        store.is_finished(fused)
    monkeypatch.undo()
    assert store.is_finished(fused)
    assert not list(store.root.glob("broken/*"))
