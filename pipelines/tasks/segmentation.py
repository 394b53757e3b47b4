"""Segmentation: train a segmenter on a method's fused images, test it, and tell its IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from pipelines.execution.job import Job, pictured
from pipelines.specs.base import starting_point
from pipelines.specs.tasks import TaskSpec
from pipelines.store.digests import derive_seed
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of, not_hashed, start_of
from pipelines.tasks.task import Chain, Floats, History, Images, Score, Task, widths
from pipelines.tasks.work import Sizes, Work, trained_images
from segmentation.settings import SegmenterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

CHECK = Kind("check_segmenter", 1, f"{__name__}:check_segmenter")
TRAIN = Kind("train_segmenter", 3, f"{__name__}:train_segmenter", ("weights.pt",), resumable=True)
TEST = Kind("segment", 2, f"{__name__}:segment", ("masks", "confusion.npz"), resumable=True)
JOIN = Kind("join_masks", 1, f"{__name__}:join_masks", ("masks", "confusion.npz"), resumable=True)

MEANS = ("mIoU", "mIoU w/o background")


class SegmentationSpec(SegmenterSettings, TaskSpec):
    """The segmenter that is retrained on each method's images, and its budget."""

    labels_for: ClassVar[str | None] = "segmentation"
    _expanded = field_validator("encoder_checkpoint", mode="before")(starting_point)


def chain(spec: SegmentationSpec, seed: int, images: Images, known: Facts) -> Chain:
    """Return the stages from fused images to IoU."""
    facts: dict[str, Any] = {"settings": hashed(spec), "seed": derive_seed("segmentation", seed)}
    start = start_of(spec.encoder_checkpoint, "segmentation.encoder_checkpoint", known)
    network: dict[str, Any] = {"architecture": spec.architecture, "encoder": spec.encoder}
    network |= {"classes": len(images.dataset.spec.classes), **widths(images)}
    if start:
        facts["encoder_checkpoint"] = network["checkpoint"] = start.digest
    given, local = start.local if start else {}, local_of(images.dataset)
    training = stage_of(TRAIN, facts, images.stages, {**local, **not_hashed(spec), **given})
    testing = stage_of(TEST, {}, {"segmenter": training, **images.stages}, local)
    return Chain((training, testing), stage_of(CHECK, network, local=given))


def join(spec: SegmentationSpec, chains: Mapping[str, Chain], images: Images) -> Stage:
    """Return the stage that asks several segmenters, each of its images, for one mask."""
    members: dict[str, Stage] = {}
    for name, one in chains.items():
        members[name], members[f"{name} images"] = one.stages[0], one.stages[1].inputs["fused"]
    return stage_of(JOIN, {}, {**members, **images.stages}, local_of(images.dataset))


def check_segmenter(job: Job) -> Metrics:
    """Find out whether the encoder exists and its checkpoint fits."""
    from segmentation.model import build_model

    names = (job.spec["architecture"], job.spec["encoder"], job.spec["classes"])
    start, channels = job.path("encoder_checkpoint"), job.spec.get("channels", 3)
    _, load = build_model(*names, start, channels)
    return {"encoder_loaded": load.loaded, "encoder_total": load.total}


def train_segmenter(job: Job) -> Metrics:
    """Train a segmenter from the same seed and budget on one method's images."""
    from segmentation.run import Epoch
    from segmentation.settings import SegmenterSettings
    from segmentation.training import train

    dataset = job.dataset()
    names = [name for names in dataset.splits.values() for name in names]
    settings = SegmenterSettings(
        **job.spec["settings"],
        **job.local["settings"],
        encoder_checkpoint=job.path("encoder_checkpoint"),
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
    (job.out / "state.pt").unlink()
    return {
        "epochs": len(result.history),
        "encoder_loaded": result.encoder.loaded,
        "encoder_total": result.encoder.total,
    }


def segment(job: Job) -> Metrics:
    """Predict masks on the test split and compute IoU per class from one confusion matrix."""
    return _predicted(job, {"segmenter": "fused"})


def join_masks(job: Job) -> Metrics:
    """Predict masks by the mean of several segmenters' probabilities, and compute IoU as of one."""
    roles = sorted(role for role in job.inputs if f"{role} images" in job.inputs)
    return _predicted(job, {role: f"{role} images" for role in roles})


def _predicted(job: Job, members: Mapping[str, str]) -> Metrics:
    """Let the segmenters of some roles predict together, each from the images of another role."""
    import numpy as np

    from fusion.palette import MASKS
    from segmentation.iou import evaluate
    from segmentation.prediction import predict_together, remaining

    dataset = job.dataset()
    names, folder = dataset.splits["test"], job.out / "masks"
    left = remaining(job.images(names), folder, MASKS)  # all, unless a run was interrupted
    predict_together(
        [
            (job.inputs[role] / "weights.pt", job.images(left, fused))
            for role, fused in members.items()
        ],
        folder,
        palette=MASKS,
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    masks = {name: folder / f"{name}.png" for name in names}
    truth = {name: dataset.labels[name] for name in names}
    scores, per_image = evaluate(truth, masks, dataset.spec.classes)
    np.savez_compressed(
        job.out / "confusion.npz", names=np.array(sorted(names)), confusion=per_image
    )
    _picture_masks(job, truth, masks)
    return scores.to_dict()


def _picture_masks(job: Job, truth: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    from fusion.looking.contact_sheet import contact_sheet
    from fusion.pairs import read_rgb, read_shown
    from fusion.palette import MASKS
    from segmentation.datasets import read_mask
    from segmentation.pictures import overlay

    rows = []
    for name, path in job.images(pictured(list(truth))).items():
        image = read_rgb(path)
        ids = [read_mask(files[name], len(MASKS)) for files in (truth, masks)]
        rows.append((name, [read_shown(path), *(overlay(image, i, MASKS) for i in ids)]))
    contact_sheet(rows, ["image", "ground truth", "prediction"], job.out / "samples.png")


def columns(spec: SegmentationSpec) -> tuple[str, ...]:
    """Return IoU by class, and its means."""
    return (*spec.dataset.classes, *MEANS)


def scores(metrics: Mapping[str, Any], spec: SegmentationSpec) -> list[Score]:
    """Return a test's scores, one a column."""
    per_class = [metrics["iou"][name] for name in spec.dataset.classes]
    return [*per_class, metrics["miou"], metrics["miou_foreground"]]


def logged(metrics: Mapping[str, Any]) -> dict[str, Score]:
    """Return all scores of a test by their full names."""
    per_class = {f"IoU/{label}": value for label, value in metrics["iou"].items()}
    return {"mIoU": metrics["miou"], "mIoU_foreground": metrics["miou_foreground"], **per_class}


@dataclass(frozen=True, eq=False)
class Segmented:
    """What a test kept: the masks in its `folder`, and each image's confusion, ``images x n x n``.

    Rows of a confusion are true classes, columns predicted ones, in pixels.
    """

    folder: Path
    names: tuple[str, ...]
    confusions: NDArray[np.int64]


def read(folder: Path, spec: SegmentationSpec) -> Segmented:
    """Read what a finished test left in `folder`; raises OSError or ValueError where it cannot."""
    # np.load leaves a file that it opened itself and cannot read open.
    path, n = folder / "confusion.npz", len(spec.dataset.classes)
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
        names, confusions = tuple(map(str, kept["names"])), kept["confusion"]
    if confusions.shape[1:] != (n, n):
        raise ValueError(f"{path} holds confusions of shape {confusions.shape}, not of {n} classes")
    return Segmented(folder, names, confusions)


def pool(folds: Sequence[Segmented]) -> Segmented:
    """Return what several tests kept of different images as if it were one's."""
    names = tuple(name for one in folds for name in one.names)
    return Segmented(folds[0].folder, names, np.concatenate([one.confusions for one in folds]))


def resample(kept: Segmented, counts: NDArray[np.int32]) -> Floats:
    """Return IoU by class and both means of every resample of the images."""
    from segmentation.resampling import resampled_iou

    iou = resampled_iou(kept.confusions, counts)
    return np.column_stack([iou.iou, iou.miou, iou.miou_foreground])


def deviations(spec: SegmentationSpec) -> tuple[str, ...]:
    """Return how the segmenter and its test are ours, in sentences."""
    start = "random weights" if spec.encoder_checkpoint is None else "given weights of its encoder"
    lots = (
        "crops of 35 % and more, flips, brightness and contrast"
        if spec.augment
        else "nothing drawn"
    )
    return (
        f"Not stated by the paper, ours: the segmenter starts from {start} and learns from all "
        f"pairs with {lots}; masks are predicted at {spec.width}x{spec.height} and compared at the "
        f"labels' size, in one confusion matrix of all test images; mIoU counts the background as "
        f"the paper's does.",
    )


def training_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of training: every image is decoded once; the last state is kept."""
    settings = stage.spec["settings"]
    return Work(
        f"{__name__}:network",
        _network_of(settings),
        trained_images(settings, sizes),
        settings["height"],
        settings["width"],
        epochs=settings["epochs"],
        batch=settings["batch"],
        training=True,
        precision=settings.get("precision", "fp32"),
        handled=sizes.train * sizes.pixels,
        parameter_bytes=12,  # weights, and in the state weights and momenta
    )


def testing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of testing; masks are a tenth of a byte a pixel."""
    settings = stage.inputs["segmenter"].spec["settings"]
    pixels = sizes.test * sizes.pixels
    return Work(
        f"{__name__}:network",
        _network_of(settings),
        sizes.test,
        settings["height"],
        settings["width"],
        handled=2 * pixels,
        data_bytes=0.1 * pixels,
    )


def joining_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of several segmenters, each of which sees every test image."""
    trained = [role for role in stage.inputs if f"{role} images" in stage.inputs]
    one = replace(stage, inputs={"segmenter": stage.inputs[trained[0]]})
    work = testing_work(one, sizes)
    often = len(trained)
    return replace(work, images=often * work.images, handled=often * work.handled)


def _network_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"architecture": settings["architecture"], "encoder": settings["encoder"]}


def network(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return the segmenter, and what shows it random images."""
    import torch

    from segmentation.model import build_model, to_device

    built, _ = build_model(given["architecture"], given["encoder"], 9, None)
    built = to_device(built, device).train(training)

    def forward(batch: int, height: int, width: int) -> Tensor:
        images = torch.rand(batch, 3, height, width, device=device)
        total: Tensor = built(images.contiguous(memory_format=torch.channels_last)).sum()
        return total

    return built, forward


TASK = Task(
    name="segmentation",
    verb="segment on",
    command="segment",
    metric="IoU in percent",
    headline="mIoU",
    section=SegmentationSpec,
    columns=columns,
    compared=MEANS,
    chain=chain,
    scores=scores,
    logged=logged,
    read=read,
    resample=resample,
    pool=pool,
    works={TRAIN.name: training_work, TEST.name: testing_work, JOIN.name: joining_work},
    join=join,
    stacking="brightness and contrast are drawn for all alike",
    joining="the mean of the class probabilities of every pixel",
    histories={
        TRAIN.name: History(
            "Segmenter: cross-entropy on the training images",
            "history.csv",
            lambda row: row["loss"],
        )
    },
    paper="table5",
    deviations=deviations,
    order=20,
)
