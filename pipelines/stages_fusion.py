"""Stages of fusion: train a network, fuse a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.jobs import Job, Metrics, pictured


def train_fusion(job: Job) -> Metrics:
    """Train a fusion network on the training pairs."""
    from fusion.train import TrainSettings, train

    dataset = job.dataset()
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

    dataset = job.dataset()
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
    for name in pictured(list(dataset.splits.get("test", dataset.pairs))):
        pair = dataset.pairs[name]
        paths = (pair.infrared, pair.visible, images / f"{name}.png")
        rows.append((name, [read_rgb(path) for path in paths]))
    contact_sheet(rows, ["infrared", "visible", job.spec["method"]], job.out / "samples.png")
    return {"images": summary.count, "network_seconds": round(summary.network_seconds, 3)}


def _weights(job: Job) -> Path | None:
    return job.inputs["weights"] / "weights.pt" if "weights" in job.inputs else None
