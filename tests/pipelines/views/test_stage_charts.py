"""Charts of finished stages: drawn of what a stage kept, once, and left out where that is gone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.ap import evaluate
from fusion.pairs import read_rgb
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import Store
from pipelines.views.stage_charts import kept_curves, stage_charts

CLASSES = ["person", "car"]
PERSON = {"category_id": 1, "bbox": [10, 10, 20, 20]}
TRUTH = {
    "images": [{"id": 1, "file_name": "a", "width": 100, "height": 100}],
    "annotations": [{**PERSON, "id": 1, "image_id": 1, "area": 400, "iscrowd": 0}],
    "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)],
}
FOUND = [{**PERSON, "image": "a", "score": 0.9}]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def stage(store: Store, kind: str) -> tuple[Stage, Path]:
    index = Stage(Kind("index", 1, ""), {}, local={"dataset": {"classes": CLASSES}})
    made = Stage(Kind(kind, 1, ""), {}, {"index": index})
    folder = store.directory(made)
    folder.mkdir(parents=True)
    return made, folder


def detected(folder: Path, **files: Any) -> None:
    for name, content in {"ground_truth": TRUTH, "predictions": FOUND, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def test_curves_are_those_that_the_stage_kept(store: Store) -> None:
    _, folder = stage(store, "detect")
    detected(folder)
    computed = kept_curves(folder, CLASSES)
    assert computed == evaluate(TRUTH, FOUND, CLASSES).curves
    detected(folder, curves={"recall": [0.0, 1.0], "precision": {"car": [1.0, 0.5]}})
    assert kept_curves(folder, CLASSES).precision == {"car": (1.0, 0.5)}
    detected(folder, curves=asdict(computed))
    assert kept_curves(folder, CLASSES) == computed


def test_a_detection_has_a_picture_of_its_curves_drawn_once(store: Store) -> None:
    made, folder = stage(store, "detect")
    detected(folder)
    (picture,) = stage_charts(made, store, "average, seed 0")
    assert picture.name == "precision_recall.png"
    assert read_rgb(picture).std() > 10
    before = picture.stat().st_mtime_ns
    assert stage_charts(made, store, "average, seed 0") == [picture]
    assert picture.stat().st_mtime_ns == before
    (other,) = stage_charts(made, store, "mean, seed 0")  # another experiment's name for it
    assert other.read_bytes() != picture.read_bytes()
    os.utime(folder / "predictions.json", ns=(before + 10**9, before + 10**9))
    stage_charts(made, store, "average, seed 0")  # the stage was made again
    assert picture.stat().st_mtime_ns > before


def test_a_segmentation_has_a_picture_of_its_confusion(store: Store) -> None:
    made, folder = stage(store, "segment")
    confusion = np.array([[[9, 1], [2, 3]], [[5, 0], [0, 5]]])
    np.savez_compressed(folder / "confusion.npz", names=np.array(["a", "b"]), confusion=confusion)
    (picture,) = stage_charts(made, store, "average, seed 0")
    assert picture.name == "confusion.png"
    assert read_rgb(picture).std() > 10


def test_what_cannot_be_read_is_left_out(store: Store) -> None:
    made, folder = stage(store, "detect")
    assert stage_charts(made, store, "average, seed 0") == []
    (folder / "predictions.json").write_text("[", encoding="utf-8")
    assert stage_charts(made, store, "average, seed 0") == []
    made, folder = stage(store, "segment")
    (folder / "confusion.npz").write_bytes(b"PK no zip")
    assert stage_charts(made, store, "average, seed 0") == []
    np.savez_compressed(folder / "confusion.npz", names=["a"], confusion=np.ones((1, 3, 3)))
    assert stage_charts(made, store, "average, seed 0") == []  # of other classes
