"""Stages of segmentation: train DeepLabV3 on fused images, test it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.execution.job import Job, pictured
from pipelines.store.stage import Metrics


def train_segmenter(job: Job) -> Metrics:
    """Train DeepLabV3 from the same seed and budget on one method's images."""
    from segmentation.run import Epoch
    from segmentation.settings import SegmenterSettings
    from segmentation.training import train

    dataset = job.dataset()
    names = [name for names in dataset.splits.values() for name in names]
    settings = SegmenterSettings(
        **{**job.spec["settings"], "encoder_checkpoint": job.path("encoder_checkpoint")}
    )

    def on_epoch(row: Epoch) -> None:
        job.report(row.epoch, settings.epochs, f"loss {row.loss:.3f}")

    result = train(
        job.images(names),
        dataset.labels,
        dataset.splits,
        dataset.spec.classes,
        settings,
        job.out,
        seed=job.spec["seed"],
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

    from fusion.palette import MASKS
    from segmentation.iou import evaluate
    from segmentation.prediction import predict

    dataset = job.dataset()
    names = dataset.splits["test"]
    masks = predict(
        job.inputs["segmenter"] / "weights.pt",
        job.images(names),
        job.out / "masks",
        palette=MASKS,
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    truth = {name: dataset.labels[name] for name in names}
    scores, per_image = evaluate(truth, masks, dataset.spec.classes)
    np.savez_compressed(
        job.out / "confusion.npz", names=np.array(sorted(names)), confusion=per_image
    )
    _picture_masks(job, truth, masks)
    return scores.to_dict()


def _picture_masks(job: Job, truth: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    from fusion.looking.contact_sheet import contact_sheet
    from fusion.pairs import read_rgb
    from fusion.palette import MASKS
    from segmentation.datasets import read_mask
    from segmentation.pictures import overlay

    rows = []
    for name, path in job.images(pictured(list(truth))).items():
        image = read_rgb(path)
        ids = [read_mask(files[name], len(MASKS)) for files in (truth, masks)]
        rows.append((name, [image, *(overlay(image, i, MASKS) for i in ids)]))
    contact_sheet(rows, ["image", "ground truth", "prediction"], job.out / "samples.png")
