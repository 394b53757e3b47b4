"""Stages of fusion: train a network, fuse a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.errors import InputError
from pipelines.execution.job import Job, pictured
from pipelines.store.stage import Metrics

if TYPE_CHECKING:
    from fusion.method import FusionMethod
    from fusion.pairs import ImagePair


def train_fusion(job: Job) -> Metrics:
    """Train a fusion network on the training pairs."""
    from fusion.training.settings import TrainSettings
    from fusion.training.train import train

    dataset = job.dataset()
    chosen = {
        name: [dataset.pairs[n] for n in dataset.splits.get(name, ())] for name in ("train", "val")
    }
    settings = TrainSettings(**job.spec["settings"], **job.local["settings"])

    def on_epoch(row: Mapping[str, float]) -> None:
        job.report(int(row["epoch"]), settings.epochs, f"loss {row['total']:.3f}")

    result = train(
        job.spec["method"],
        dict(job.spec["params"]),
        chosen["train"],
        chosen["val"],
        settings,
        job.out,
        seed=job.spec["seed"],
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
    )
    return {"final": result.history[-1], "epochs": len(result.history)}


def perturb(job: Job) -> Metrics:
    """Disturb one image of every test pair, for all methods, into ``images/NAME.png``."""
    from fusion.pairs import read_image, write_png
    from fusion.perturb import Perturbation, perturb

    dataset, images = job.dataset(), job.out / "images"
    perturbation = Perturbation(job.spec["kind"], job.spec["strength"])
    images.mkdir()
    for done, name in enumerate(dataset.test, 1):
        source: Path = getattr(dataset.pairs[name], perturbation.modality)
        write_png(images / f"{name}.png", perturb(read_image(source), perturbation, name))
        job.report(done, len(dataset.test), perturbation.label)
    return {"images": len(dataset.test)}


def fuse(job: Job) -> Metrics:
    """Fuse every pair of a dataset, or its disturbed test pairs, into ``images/NAME.png``."""
    from fusion import load_method
    from fusion.generation.folder import fuse_folder
    from fusion.looking.contact_sheet import contact_sheet
    from fusion.pairs import read_rgb

    dataset = job.dataset()
    method = load_method(
        job.spec["method"],
        job.local.get("checkpoint") or _weights(job),
        job.device,
        **job.spec["params"],
    )
    pairs = _perturbed(job, method) if "perturbed" in job.inputs else dataset.pairs
    images = job.out / "images"
    summary = fuse_folder(
        method,
        list(pairs.values()),
        images,
        device=job.device,
        color=dataset.spec.color,
        on_progress=job.progress(),
    )
    rows = []
    for name in pictured(list(dataset.splits.get("test", dataset.pairs))):
        pair = pairs[name]
        paths = (pair.infrared, pair.visible, images / f"{name}.png")
        rows.append((name, [read_rgb(path) for path in paths]))
    contact_sheet(rows, ["infrared", "visible", job.spec["method"]], job.out / "samples.png")
    return {"images": summary.count, "network_seconds": round(summary.network_seconds, 3)}


def _weights(job: Job) -> Path | None:
    return job.inputs["weights"] / "weights.pt" if "weights" in job.inputs else None


def _perturbed(job: Job, method: FusionMethod) -> dict[str, ImagePair]:
    """Return the test pairs with the disturbed image in the place of the clean one.

    They are files like any other pair, so that a method that reads files itself sees them, too.
    """
    if method.premade():
        raise InputError(
            f'The method "{job.spec["method"]}" fuses nothing here: its images were made of clean '
            f"pairs; take it, or perturb, out of the experiment."
        )
    dataset, folder = job.dataset(), job.inputs["perturbed"] / "images"
    found = {}
    for name in dataset.test:
        pair, image = dataset.pairs[name], folder / f"{name}.png"
        first = job.spec["perturbed"] == "infrared"
        found[name] = replace(pair, infrared=image) if first else replace(pair, visible=image)
    return found
