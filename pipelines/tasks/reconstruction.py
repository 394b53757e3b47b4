"""Reconstruction: what medical fusion begins with. Train a network, reconstruct shorter scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusion.reconstruction.undersampling import Undersampling, undersampling_of
from pipelines.datasets.dataset import Dataset
from pipelines.execution.job import Job
from pipelines.specs.reconstruction import ReconstructionSpec, ReconstructionTrainingSpec
from pipelines.store.digests import derive_seed
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of, not_hashed
from pipelines.tasks.scoring import SCORES, write_scores
from pipelines.tasks.task import History
from pipelines.tasks.work import Measure, Sizes, Work, crops_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

CHECK = Kind("check_reconstruction", 1, f"{__name__}:check_reconstruction")
TRAIN = Kind(
    "train_reconstruction", 1, f"{__name__}:train_reconstruction", ("weights.pt",), resumable=True
)
# After a crash made anew: 0.3 s an image on one core, less than between two checkpoints.
RECONSTRUCT = Kind("reconstruct", 1, f"{__name__}:reconstruct", ("images", SCORES))
MEASURES = ("PSNR", "SSIM", "NMSE")
LOWER = ("NMSE",)
"""Of these the lowest value is best."""
NOISE_PERCENT = 0.5
"""Of a slice's brightest pixel; this and the measures are fusion's, which imports torch."""
HISTORIES = {
    TRAIN.name: History(
        "Reconstruction network: total loss on scans of the training slices",
        "history.csv",
        lambda row: row["total"],
        lambda row: row.get("val_total", 0.0),
    )
}


def samplings_of(spec: ReconstructionSpec) -> list[dict[str, Any]]:
    """Return the samplings of an experiment as plain values."""
    known = {one.sampling: one.strength for one in spec.undersamplings}
    return [{k: v for k, v in one.items() if k != "reconstruction"} for one in known.values()]


def slices_check(spec: ReconstructionSpec, index: Stage) -> Stage:
    """Return the check that the test slices of a dataset are large enough."""
    facts = {"samplings": samplings_of(spec), "cmd": "cmd" in spec.reconstructions}
    return stage_of(CHECK, facts, {"index": index}, index.local)


def training_check(
    spec: ReconstructionSpec, train: ReconstructionTrainingSpec, index: Stage
) -> Stage:
    """Return the check that a dataset has training slices enough, and that crops fit into them."""
    keys = {"crop", "batch_size", "crops_per_image"}
    facts = {"samplings": samplings_of(spec), "train": train.model_dump(include=keys)}
    return stage_of(CHECK, facts, {"index": index}, index.local)


def training_stage(
    spec: ReconstructionSpec,
    train: ReconstructionTrainingSpec,
    dataset: Dataset,
    index: Stage,
    known: Facts,
) -> Stage:
    """Return the stage that trains the network on a dataset that has a split."""
    facts = {
        "network": "cmd",
        "pairs": known.splits(dataset, index.key),
        "samplings": samplings_of(spec),
        "settings": hashed(train),
        "seed": derive_seed("reconstruction", train.seed),
        "code": [known.module(f"fusion.reconstruction.{one}") for one in ("cmd.loss", "slices")],
    }
    return stage_of(TRAIN, facts, local={**local_of(dataset), **not_hashed(train)})


def undersampled_stages(
    clean: Stage, how: Undersampling, network: Stage | None, known: Facts
) -> tuple[Stage, Stage, Stage]:
    """Return the stages that reconstruct the test slices, fuse and score them.

    `clean` holds the scores of whole slices; the others are scored against these, too.
    """
    fused, index = clean.inputs["fused"], clean.inputs["index"]
    facts = {
        "pairs": fused.spec["pairs"],
        "split": index.spec["split"],
        **how.strength,
        "code": known.module("fusion.reconstruction.reconstruct"),
    }
    inputs = {"network": network} if network is not None else {}
    slices = stage_of(RECONSTRUCT, facts, inputs, {"dataset": fused.local["dataset"]})
    again = replace(
        fused,
        spec={**fused.spec, "perturbed": how.modality},
        inputs={**fused.inputs, "perturbed": slices},
    )
    return slices, again, replace(clean, inputs={**clean.inputs, "fused": again})


def check_reconstruction(job: Job) -> Metrics:
    """Draw masks for every size of the slices, before anything is trained."""
    from fusion.reconstruction.cmd.network import check_size
    from fusion.reconstruction.masks import Sampling
    from fusion.reconstruction.slices import check_crops, check_masks

    samplings = [Sampling(**given) for given in job.spec["samplings"]]
    dataset, index = job.dataset(), job.index()
    names = dataset.splits.get("train", ()) if "train" in job.spec else dataset.test
    sizes = {name: (index[name]["height"], index[name]["width"]) for name in names}
    if "train" in job.spec:
        check_crops(sizes, samplings, **job.spec["train"])
    else:
        check_masks(sizes, samplings)
        for name, size in sizes.items() if job.spec["cmd"] else ():
            check_size(*size, name)
    return {"slices": len(sizes)}


def train_reconstruction(job: Job) -> Metrics:
    """Train the network on the infrared side of the training pairs."""
    from fusion.reconstruction.masks import Sampling
    from fusion.reconstruction.settings import ReconstructionTraining
    from fusion.reconstruction.training import train_cmd

    dataset = job.dataset()
    slices = {
        split: [dataset.pairs[name].infrared for name in dataset.splits.get(split, ())]
        for split in ("train", "val")
    }
    settings = ReconstructionTraining(**job.spec["settings"], **job.local["settings"])

    def on_epoch(row: Mapping[str, float]) -> None:
        job.report(int(row["epoch"]), settings.epochs, f"loss {row['total']:.3f}")

    history = train_cmd(
        slices["train"],
        slices["val"],
        [Sampling(**given) for given in job.spec["samplings"]],
        settings,
        job.out,
        seed=job.spec["seed"],
        device=job.device,
        threads=job.threads,
        on_epoch=on_epoch,
    )
    (job.out / "state.pt").unlink()
    return {"final": history[-1], "epochs": len(history)}


def reconstruct(job: Job) -> Metrics:
    """Undersample and reconstruct the MRI of every test pair; keep images and their measures."""
    import numpy as np

    from fusion.pairs import read_gray, write_png
    from fusion.reconstruction.reconstruct import reconstruct as reconstructed
    from fusion.reconstruction.training import load_network
    from fusion.torch_tools import resolve_device

    keys = ("kind", "acceleration", "centre_fraction", "reconstruction")
    how = undersampling_of({key: job.spec[key] for key in keys})
    where, network = resolve_device(job.device), None
    if "network" in job.inputs:
        network = load_network(job.inputs["network"] / "weights.pt", job.device)
    dataset, images = job.dataset(), job.out / "images"
    images.mkdir()
    rows = []
    for done, name in enumerate(dataset.test, 1):
        image = read_gray(dataset.pairs[name].infrared)
        made = reconstructed(image, name, how.sampling, network, where)
        write_png(images / f"{name}.png", made.image)
        rows.append(made.measured)
        job.report(done, len(dataset.test), how.label)
    values = np.stack(rows)
    write_scores(job.out / SCORES, dataset.test, MEASURES, values)
    means = dict(zip(MEASURES, values.mean(axis=0).tolist(), strict=True))
    return {"images": len(dataset.test), "means": means}


def training_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of training: crops of slices that are decoded once, in full batches."""
    given = {"network": "cmd", "preset": stage.spec["settings"]["preset"]}
    return crops_work(f"{__name__}:network", given, stage, sizes, 1)


def reconstructing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of reconstructing: a slice a pair is read, and one is written."""
    trained = stage.inputs.get("network")
    given = {"preset": trained.spec["settings"]["preset"]} if trained is not None else {}
    return Work(
        f"{__name__}:network" if trained is not None else "",
        {"network": stage.spec["reconstruction"], **given},
        sizes.test,
        sizes.height,
        sizes.width,
        handled=2 * sizes.test * sizes.pixels,
        data_bytes=sizes.test * sizes.png_bytes,
        code=stage.spec["code"],
    )


def network(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return an untrained network, and what shows it random slices."""
    import torch

    from fusion.reconstruction.cmd.loss import cmd_loss
    from fusion.reconstruction.cmd.network import build
    from fusion.reconstruction.simulation import normalised

    built = build(given["preset"]).to(device).train(training)

    def forward(batch: int, height: int, width: int) -> Tensor:
        slices = torch.rand(batch, height, width, dtype=torch.complex64, device=device)
        mask = (torch.arange(width, device=device) % 4 == 0).float().expand(batch, height, width)
        acquired = normalised(slices, torch.zeros_like(slices), mask)
        made = built(acquired.measured)
        return cmd_loss(made, acquired.target)["total"] if training else made.image.abs().sum()

    return built, forward


WORKS: Mapping[str, Measure] = {TRAIN.name: training_work, RECONSTRUCT.name: reconstructing_work}
