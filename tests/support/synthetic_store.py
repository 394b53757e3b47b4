"""A store with made-up results in the real layout: every file that a run leaves, none trained.

The detections and masks are drawn from the ground truth with errors, the more the smaller a
method's skill; their scores are computed as the stages do. Also made-up evidence of its tables.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection import ap
from detection.datasets import coco_ground_truth
from fusion.palette import MASKS
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.labels import boxes_of
from pipelines.datasets.opening import open_dataset
from pipelines.execution.runner import NO_SLOT, make_stage
from pipelines.planning.plan import Cell
from pipelines.results.conclusions import wording
from pipelines.results.conclusions.agreement import Agreement
from pipelines.results.conclusions.evidence import Difference, Evidence
from pipelines.results.rows.quality import MEAN_RANK
from pipelines.results.values import Row, Table
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.stage import Stage
from pipelines.store.store import MANIFEST, Store
from pipelines.tasks.scoring import SCORES, write_scores
from segmentation.datasets import read_mask, write_mask
from segmentation.iou import evaluate

EPOCHS = 8
Box = dict[str, Any]


def finish(cells: Sequence[Cell], store: Store, noise: int = 4) -> None:
    """Finish all stages of the cells; `noise` are the false boxes of low confidence an image."""
    for cell in cells:
        for stage in cell.stages:
            if store.manifest(stage) is None:
                skill = random.Random(f"{cell.method.row}").uniform(0.35, 0.9)
                body = partial(_made_up, store=store, skill=skill, noise=noise)
                make_stage(stage, store, body, NO_SLOT)
                _set_seconds(store.directory(stage) / MANIFEST)


def _set_seconds(path: Path) -> None:
    """Give the manifest a time that does not depend on this machine."""
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["seconds"] = round(random.Random(manifest["key"]).uniform(1, 50), 3)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def _made_up(stage: Stage, out: Path, store: Store, skill: float, noise: int) -> dict[str, Any]:
    rng = np.random.default_rng(int(stage.key, 16))
    if stage.kind.name.startswith("train"):
        return _training(stage.kind.name, out, rng)
    dataset = open_dataset(DatasetSpec(**stage.local["dataset"]))
    if stage.kind.name == "fuse":
        return _fused(dataset, out)
    if stage.kind.name == "detect":
        index = store.directory(stage.inputs["index"]) / "index.json"
        return _detected(dataset, json.loads(index.read_text("utf-8")), out, rng, skill, noise)
    if stage.kind.name == "segment":
        return _segmented(dataset, out, rng, skill)
    return _scored(stage, dataset, out, rng)


def _training(kind: str, out: Path, rng: np.random.Generator) -> dict[str, Any]:
    (out / "weights.pt").write_bytes(rng.bytes(100))
    losses = [4 / (epoch + 1) + rng.uniform(0, 0.3) for epoch in range(EPOCHS)]
    if kind == "train_detector":
        (out / "run").mkdir()
        parts = product(("train", "val"), ("box", "cls", "dfl"))
        sides = [f"{side}/{part}_loss" for side, part in parts]
        rows = [[loss / 3] * 3 + [loss / 2.5] * 3 for loss in losses]
        rows[-1] = rows[-1][:3]  # as ultralytics ends a training of which nothing was validated
        _csv(out / "run" / "results.csv", ["epoch", *sides], rows)
    elif kind == "train_segmenter":
        rows = [[loss, 0.01, float("nan")] for loss in losses]
        _csv(out / "history.csv", ["epoch", "loss", "learning_rate", "val_miou"], rows)
    else:
        _csv(out / "history.csv", ["epoch", "total"], [[loss] for loss in losses])
    return {"epochs": EPOCHS}


def _csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    lines = [",".join(head), *(",".join(map(str, (n, *row))) for n, row in enumerate(rows, 1))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _fused(dataset: Dataset, out: Path) -> dict[str, Any]:
    (out / "images").mkdir()
    for name in dataset.test:
        shutil.copy(dataset.pairs[name].visible, out / "images" / f"{name}.png")
    return {"images": len(dataset.pairs), "network_seconds": 0.5}


def _detected(
    dataset: Dataset, index: Any, out: Path, rng: np.random.Generator, skill: float, noise: int
) -> dict[str, Any]:
    names, classes = dataset.splits["test"], dataset.spec.classes
    ground_truth = coco_ground_truth(boxes_of({name: index[name] for name in names}), classes)
    images = {image["id"]: image for image in ground_truth["images"]}
    found = [
        _box(images[box["image_id"]]["file_name"], box["category_id"], _shaken(box, rng), score)
        for box in ground_truth["annotations"]
        if rng.random() < skill and (score := float(rng.beta(5, 2)))
    ]
    for image in images.values():
        for x, y, w, h, score in rng.random((noise, 5)):
            place = [x * image["width"] * 0.7, y * image["height"] * 0.7, 8 + 30 * w, 8 + 30 * h]
            category = 1 + int(rng.integers(len(classes)))
            found.append(_box(image["file_name"], category, place, float(score**3) * 0.6))
    (out / "predictions.json").write_text(json.dumps(found), encoding="utf-8")
    (out / "ground_truth.json").write_text(json.dumps(ground_truth), encoding="utf-8")
    evaluation = ap.evaluate(ground_truth, found, classes)
    curves = json.dumps(asdict(evaluation.curves))
    (out / "curves.json").write_text(curves, encoding="utf-8")
    return evaluation.scores.to_dict()


def _shaken(box: Box, rng: np.random.Generator) -> list[float]:
    x, y, width, height = box["bbox"]
    across, down = rng.normal(0, 0.06, 2)
    return [x + across * width, y + down * height, width, height]


def _box(name: str, category: int, place: Sequence[float], score: float) -> Box:
    return {"image": name, "category_id": category, "bbox": list(place), "score": score}


def _segmented(dataset: Dataset, out: Path, rng: np.random.Generator, skill: float) -> Any:
    (out / "masks").mkdir()
    names, classes = dataset.splits["test"], dataset.spec.classes
    for name in names:
        mask = read_mask(dataset.labels[name], len(classes))
        shift = int(rng.integers(0, 2 + 30 * (1 - skill)))
        write_mask(out / "masks" / f"{name}.png", np.roll(mask, shift, axis=1), MASKS)
    truth = {name: dataset.labels[name] for name in names}
    guessed = {name: out / "masks" / f"{name}.png" for name in names}
    scores, per_image = evaluate(truth, guessed, classes)
    np.savez_compressed(out / "confusion.npz", names=np.array(sorted(names)), confusion=per_image)
    return scores.to_dict()


def _scored(stage: Stage, dataset: Dataset, out: Path, rng: np.random.Generator) -> dict[str, Any]:
    metrics = stage.spec["metrics"]
    values: NDArray[np.float64] = rng.normal(10, 1, (len(dataset.test), len(metrics)))
    write_scores(out / SCORES, dataset.test, metrics, values)
    pairs = zip(metrics, values.mean(axis=0), strict=True)
    means = {name: {"mean": float(mean), "n": len(values)} for name, mean in pairs}
    return {"images": len(values), "metrics": means}


HEADLINES = {"detection": "mAP50", "segmentation": "mIoU", "scoring": MEAN_RANK}


def made_up_evidence(table: Table, visible: str | None = "visible") -> Evidence:
    """Return evidence as of a table, with intervals and p values that depend on the means alone."""
    headline = HEADLINES[table.task]
    column, sign = table.columns.index(headline), -1 if headline in table.lower else 1
    merit = {
        row.label: sign * value.mean
        for row in table.rows
        if row.kind == "ours" and (value := row.values[column]) is not None
    }
    order = sorted(merit, key=lambda row: -merit[row])
    if not order:
        return Evidence(table, headline, None, (), (), {}, ())
    level = tuple(row for row in order if merit[order[0]] - merit[row] < 3)
    ranks = {row: _shares(place, len(order)) for place, row in enumerate(order)}
    references = [order[0], *([visible] if visible in order[1:] else [])]
    found = [
        difference
        for reference, name in product(references, _compared(table))
        for difference in _differences(table, name, reference)
    ]
    note = "The intervals are made up."
    told = wording.best(level, len(order), "seeds", "") if order[1:] else ""
    return Evidence(table, headline, order[0], tuple(found), level, ranks, (note,), "seeds", told)


def _compared(table: Table) -> list[str]:
    if table.task == "scoring":
        return [name for name in table.columns if name != MEAN_RANK]
    return list(table.columns[-2:])


def _differences(table: Table, name: str, reference: str) -> list[Difference]:
    column = table.columns.index(name)
    rows = {row.label: row.values[column] for row in _ours(table)}
    base, width = rows[reference], 2.5 if table.task != "scoring" else 0.4
    found = []
    for label, value in rows.items():
        if value is not None and base is not None and label != reference:
            mean = value.mean - base.mean
            p = 0.0004 if abs(mean) > width else 0.3
            ends = (mean - width, mean + width)
            found.append(Difference(label, reference, name, mean, *ends, p, min(1.0, 3 * p)))
    return found


def _ours(table: Table) -> list[Row]:
    return [row for row in table.rows if row.kind == "ours"]


def _shares(place: int, places: int) -> tuple[float, ...]:
    weights = [0.5 ** abs(n - place) for n in range(places)]
    return tuple(weight / sum(weights) for weight in weights)


def made_up_agreements(evidence: Sequence[Evidence]) -> tuple[Agreement, ...]:
    """Return one agreement for each two tables."""
    titles = [f"{one.headline}, {one.table.title}" for one in evidence]
    return tuple(Agreement(titles[0], other, 0.6, -0.2, 1.0, 6) for other in titles[1:])
