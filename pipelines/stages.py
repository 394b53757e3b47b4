"""The few stages, as plain functions: what a job's spec and inputs say becomes files in `out`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from pipelines.specs import DatasetSpec

Metrics = dict[str, Any]
Report = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a short remark."""

PICTURED = 6
"""How many test images the sample pictures show."""


@dataclass(frozen=True)
class Job:
    """One stage to make: its hashed spec, its inputs' directories, and where to write."""

    kind: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, Path]
    local: Mapping[str, Any]
    out: Path
    device: str
    threads: int
    report: Report

    def progress(self, remark: str = "") -> Callable[[int, int], None]:
        """Return a callback of (done, total) that carries `remark`."""
        return lambda done, total: self.report(done, total, remark)


@dataclass(frozen=True)
class Kind:
    """A kind of stage; raise `version` whenever the body's result changes.

    `products` are the files whose bytes downstream stages depend on; a `resumable` body continues
    from what an interrupted run left in `out`.
    """

    body: Callable[[Job], Metrics]
    version: int
    products: tuple[str, ...]
    resumable: bool = False


def check_method(job: Job) -> Metrics:
    """Build a fusion method with its checkpoint, before anything is trained."""
    from fusion.registry import load_method, method_class
    from pipelines.data import open_dataset

    name = job.spec["method"]
    if job.spec["train"] and not method_class(name).trainable:
        raise InputError(f'The method "{name}" is inference only; take its "train" out.')
    method = load_method(name, job.local.get("checkpoint"), **job.spec["params"])
    require = getattr(method, "require_names", None)
    if require is not None:
        require(list(open_dataset(DatasetSpec(**job.local["dataset"])).pairs))
    if method.needs_checkpoint and not job.spec["train"] and "checkpoint" not in job.local:
        raise InputError(
            f'The method "{name}" has no weights in this experiment; give "checkpoint" or "train".'
        )
    return {"parameters": sum(p.numel() for p in method.parameters())}


def check_detector(job: Job) -> Metrics:
    """Find out whether the initial checkpoint fits the detector."""
    from detection.yolo import matching_layers

    path = Path(job.local["initial_checkpoint"])
    return {"layers": matching_layers(job.spec["model"], job.spec["classes"], path)}


def check_segmenter(job: Job) -> Metrics:
    """Find out whether the encoder exists and its checkpoint fits."""
    from segmentation.deeplab import build_model

    names = (job.spec["architecture"], job.spec["encoder"], job.spec["classes"])
    _, load = build_model(*names, _path(job, "encoder_checkpoint"))
    return {"encoder_loaded": load.loaded, "encoder_total": load.total}


def scenes(job: Job) -> Metrics:
    """Draw the embedded dataset in both layouts."""
    from pipelines.scenes import write_scenes

    spec = job.spec
    total = spec["train"] + spec["val"] + spec["test"]
    sizes = {key: spec[key] for key in ("seed", "train", "val", "test", "height", "width")}
    write_scenes(job.out, **sizes, on_progress=lambda done: job.report(done, total, ""))
    return {"images": total}


def split(job: Job) -> Metrics:
    """Draw train, val and test with near-duplicate neighbours kept together."""
    from pipelines.data import open_dataset, write_split
    from pipelines.splits import METHOD, SPLIT_VERSION, draw_split, scenes_of

    pairs = open_dataset(DatasetSpec(**job.local["dataset"])).pairs
    groups = scenes_of(pairs, job.progress())
    ratios, seed = job.spec["ratios"], job.spec["seed"]
    splits = draw_split(groups, (ratios[0], ratios[1], ratios[2]), seed)
    facts = {"version": SPLIT_VERSION, "method": METHOD, "seed": seed, "ratios": list(ratios)}
    write_split(job.out / "split.yaml", splits, **facts, pairs_digest=job.spec["pairs"])
    return {"scenes": len(groups), **{name: len(names) for name, names in splits.items()}}


def index(job: Job) -> Metrics:
    """Decode every image and label once; any problem stops the work before training."""
    from pipelines.data import inspect, open_dataset

    found = inspect(open_dataset(DatasetSpec(**job.local["dataset"])), job.progress())
    if found.problems:
        name = job.local["dataset"]["name"]
        more = len(found.problems) - 1
        also = f" ({more} more: fuse-then data verify {name})" if more else ""
        raise InputError(f"{found.problems[0]}{also}")
    (job.out / "index.json").write_text(json.dumps(found.index), encoding="utf-8")
    return {
        "sizes": dict(found.sizes),
        "histogram": {k: dict(v) for k, v in found.histogram.items()},
    }


def train_fusion(job: Job) -> Metrics:
    """Train a fusion network on the training pairs."""
    from fusion.train import TrainSettings, train
    from pipelines.data import open_dataset

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    chosen = {
        name: [dataset.pairs[n] for n in dataset.splits.get(name, ())] for name in ("train", "val")
    }
    settings = TrainSettings(**job.spec["settings"])

    def on_epoch(row: Mapping[str, float]) -> None:
        job.report(int(row["epoch"]), settings.epochs, f"loss {row['total']:.3f}")

    result = train(
        job.spec["method"],
        dict(job.spec["params"]),
        chosen["train"],
        chosen["val"],
        settings,
        job.out,
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
    )
    return {"final": result.history[-1], "epochs": len(result.history)}


def fuse(job: Job) -> Metrics:
    """Fuse every pair of a dataset into ``images/NAME.png``."""
    from fusion import load_method
    from fusion.generate import fuse_folder
    from fusion.pairs import read_rgb
    from fusion.pictures import contact_sheet
    from pipelines.data import open_dataset

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    method = load_method(
        job.spec["method"],
        job.local.get("checkpoint") or _weights(job),
        job.device,
        **job.spec["params"],
    )
    pairs = list(dataset.pairs.values())
    images = job.out / "images"
    summary = fuse_folder(
        method,
        pairs,
        images,
        device=job.device,
        color=dataset.spec.color,
        on_progress=job.progress(),
    )
    rows = []
    for name in _shown(list(dataset.splits.get("test", dataset.pairs))):
        pair = dataset.pairs[name]
        paths = (pair.infrared, pair.visible, images / f"{name}.png")
        rows.append((name, [read_rgb(path) for path in paths]))
    contact_sheet(rows, ["infrared", "visible", job.spec["method"]], job.out / "samples.png")
    return {"images": summary.count, "network_seconds": round(summary.network_seconds, 3)}


def _path(job: Job, key: str) -> Path | None:
    return Path(job.local[key]) if key in job.local else None


def _local_path(job: Job, key: str) -> Path | None:
    return Path(job.local[key]) if key in job.local else None


def _weights(job: Job) -> Path | None:
    return job.inputs["weights"] / "weights.pt" if "weights" in job.inputs else None


def _shown(names: list[str]) -> list[str]:
    """Return up to `PICTURED` names, evenly spaced."""
    step = max(1, len(names) // PICTURED)
    return names[::step][:PICTURED]


def _images(job: Job, names: list[str] | tuple[str, ...]) -> dict[str, Path]:
    return {name: job.inputs["fused"] / "images" / f"{name}.png" for name in names}


def _index(job: Job) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((job.inputs["index"] / "index.json").read_text("utf-8"))
    return data


def train_detector(job: Job) -> Metrics:
    """Train YOLOv5 from the same seed and budget on one method's images."""
    from detection.export import export
    from detection.settings import DetectorSettings
    from detection.yolo import train
    from pipelines.data import boxes_of, open_dataset

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    names = [name for names in dataset.splits.values() for name in names]
    data = export(
        _images(job, names),
        boxes_of({name: entry for name, entry in _index(job).items() if name in set(names)}),
        dataset.splits,
        dataset.spec.classes,
        job.out / "data",
    )
    settings = DetectorSettings(
        **{**job.spec["settings"], "initial_checkpoint": _path(job, "initial_checkpoint")}
    )

    def on_epoch(done: int, total: int, losses: Mapping[str, float]) -> None:
        job.report(done, total, f"loss {sum(v for k, v in losses.items() if 'loss' in k):.2f}")

    result = train(
        data, settings, job.out, device=job.device, threads=job.threads, on_epoch=on_epoch
    )
    return {
        "epochs": result.epochs,
        "layers_loaded": result.layers_loaded,
        "layers_total": result.layers_total,
    }


def detect(job: Job) -> Metrics:
    """Predict on the test split and compute AP per class; keep the predictions and their curves."""
    from detection.ap import average_precision, precision_recall
    from detection.datasets import coco_ground_truth
    from detection.pictures import plot_precision_recall
    from detection.yolo import predict
    from pipelines.data import boxes_of, open_dataset

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    classes, names = dataset.spec.classes, dataset.splits["test"]
    found = predict(
        job.inputs["detector"] / "weights.pt",
        _images(job, names),
        classes,
        image_size=job.spec["image_size"],
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    (job.out / "predictions.json").write_text(json.dumps(found), encoding="utf-8")
    entries = _index(job)
    truth = boxes_of({name: entries[name] for name in names})
    ground_truth = coco_ground_truth(truth, classes)
    (job.out / "ground_truth.json").write_text(json.dumps(ground_truth), encoding="utf-8")
    scores = average_precision(ground_truth, found, classes)
    curves = precision_recall(ground_truth, found, classes)
    plot_precision_recall(curves, job.out / "precision_recall.png")
    _picture_detections(job, truth, found, classes)
    return scores.to_dict()


def _picture_detections(job: Job, truth: Mapping[str, Any], found: list[Any], classes: Any) -> None:
    from detection.pictures import draw_detections
    from fusion.pairs import read_rgb, write_png

    folder = job.out / "samples"
    folder.mkdir(exist_ok=True)
    for name, path in _images(job, _shown(list(truth))).items():
        mine = [detection for detection in found if detection["image"] == name]
        drawn = draw_detections(read_rgb(path), truth[name].boxes, mine, classes)
        write_png(folder / f"{name}.png", drawn)


def train_segmenter(job: Job) -> Metrics:
    """Train DeepLabV3 from the same seed and budget on one method's images."""
    from pipelines.data import open_dataset
    from segmentation.settings import SegmenterSettings
    from segmentation.training import Epoch, train

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    names = [name for names in dataset.splits.values() for name in names]
    settings = SegmenterSettings(
        **{**job.spec["settings"], "encoder_checkpoint": _path(job, "encoder_checkpoint")}
    )

    def on_epoch(row: Epoch) -> None:
        job.report(row.epoch, settings.epochs, f"loss {row.loss:.3f}")

    result = train(
        _images(job, names),
        dataset.labels,
        dataset.splits,
        dataset.spec.classes,
        settings,
        job.out,
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
    )
    return {
        "epochs": len(result.history),
        "encoder_loaded": result.encoder.loaded,
        "encoder_total": result.encoder.total,
    }


def segment(job: Job) -> Metrics:
    """Predict masks on the test split and compute IoU per class from one confusion matrix."""
    import numpy as np

    from pipelines.data import open_dataset
    from segmentation.datasets import MSRS_PALETTE
    from segmentation.deeplab import predict
    from segmentation.iou import evaluate
    from segmentation.pictures import plot_confusion

    dataset = open_dataset(DatasetSpec(**job.local["dataset"]))
    names = dataset.splits["test"]
    masks = predict(
        job.inputs["segmenter"] / "weights.pt",
        _images(job, names),
        job.out / "masks",
        palette=MSRS_PALETTE,
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    truth = {name: dataset.labels[name] for name in names}
    scores, per_image = evaluate(truth, masks, dataset.spec.classes)
    np.savez_compressed(
        job.out / "confusion.npz", names=np.array(sorted(names)), confusion=per_image
    )
    plot_confusion(per_image.sum(axis=0), dataset.spec.classes, job.out / "confusion.png")
    _picture_masks(job, truth, masks)
    return scores.to_dict()


def _picture_masks(job: Job, truth: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    from fusion.pairs import read_rgb
    from fusion.pictures import contact_sheet
    from segmentation.datasets import MSRS_PALETTE, read_mask
    from segmentation.pictures import overlay

    rows = []
    for name, path in _images(job, _shown(list(truth))).items():
        image = read_rgb(path)
        ids = [read_mask(files[name], len(MSRS_PALETTE)) for files in (truth, masks)]
        rows.append((name, [image, *(overlay(image, i, MSRS_PALETTE) for i in ids)]))
    contact_sheet(rows, ["image", "ground truth", "prediction"], job.out / "samples.png")


KINDS: dict[str, Kind] = {
    "check_method": Kind(check_method, 1, ()),
    "check_detector": Kind(check_detector, 1, ()),
    "check_segmenter": Kind(check_segmenter, 1, ()),
    "scenes": Kind(scenes, 1, ("m3fd", "msrs")),
    "split": Kind(split, 1, ("split.yaml",)),
    "index": Kind(index, 1, ("index.json",)),
    "train_fusion": Kind(train_fusion, 1, ("weights.pt",), resumable=True),
    "fuse": Kind(fuse, 1, ("images",)),
    "train_detector": Kind(train_detector, 1, ("weights.pt",)),
    "detect": Kind(detect, 1, ("predictions.json",)),
    "train_segmenter": Kind(train_segmenter, 1, ("weights.pt",), resumable=True),
    "segment": Kind(segment, 1, ("masks", "confusion.npz")),
}
