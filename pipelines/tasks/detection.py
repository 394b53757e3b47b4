"""Stages of detection: train YOLOv5 on fused images, test it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.execution.job import Job, pictured
from pipelines.store.stage import Metrics


def train_detector(job: Job) -> Metrics:
    """Train YOLOv5 from the same seed and budget on one method's images."""
    from detection.export import export
    from detection.settings import DetectorSettings
    from detection.yolo.training import train
    from pipelines.datasets.labels import boxes_of

    dataset = job.dataset()
    names = [name for names in dataset.splits.values() for name in names]
    data = export(
        job.images(names),
        boxes_of({name: entry for name, entry in job.index().items() if name in set(names)}),
        dataset.splits,
        dataset.spec.classes,
        job.out / "data",
    )
    settings = DetectorSettings(
        **{**job.spec["settings"], "initial_checkpoint": job.path("initial_checkpoint")}
    )

    def on_epoch(done: int, total: int, losses: Mapping[str, float]) -> None:
        job.report(done, total, f"loss {sum(v for k, v in losses.items() if 'loss' in k):.2f}")

    result = train(
        data,
        settings,
        job.out,
        seed=job.spec["seed"],
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
    )
    return {
        "epochs": result.epochs,
        "layers_loaded": result.layers_loaded,
        "layers_total": result.layers_total,
    }


def detect(job: Job) -> Metrics:
    """Predict on the test split and compute AP per class; keep the predictions and their curves."""
    from dataclasses import asdict

    from detection.ap import evaluate
    from detection.datasets import coco_ground_truth
    from detection.yolo.prediction import predict
    from pipelines.datasets.labels import boxes_of

    dataset = job.dataset()
    classes, names = dataset.spec.classes, dataset.splits["test"]
    found = predict(
        job.inputs["detector"] / "weights.pt",
        job.images(names),
        classes,
        image_size=job.spec["image_size"],
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    (job.out / "predictions.json").write_text(json.dumps(found), encoding="utf-8")
    entries = job.index()
    truth = boxes_of({name: entries[name] for name in names})
    ground_truth = coco_ground_truth(truth, classes)
    (job.out / "ground_truth.json").write_text(json.dumps(ground_truth), encoding="utf-8")
    evaluation = evaluate(ground_truth, found, classes, job.spec.get("engine", "faster"))
    curves = json.dumps(asdict(evaluation.curves))
    (job.out / "curves.json").write_text(curves, encoding="utf-8")
    _picture_detections(job, truth, found, classes)
    return evaluation.scores.to_dict()


def _picture_detections(job: Job, truth: Mapping[str, Any], found: list[Any], classes: Any) -> None:
    from detection.pictures import draw_detections
    from fusion.pairs import read_rgb, write_png

    folder = job.out / "samples"
    folder.mkdir(exist_ok=True)
    for name, path in job.images(pictured(list(truth))).items():
        mine = [detection for detection in found if detection["image"] == name]
        drawn = draw_detections(read_rgb(path), truth[name].boxes, mine, classes)
        write_png(folder / f"{name}.png", drawn)
