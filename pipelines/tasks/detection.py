"""Detection: train a detector on a method's fused images, test it, and tell its AP."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from detection.joining import JOIN_IOU
from detection.settings import CONFIDENCE, NMS_IOU, STRIDE, DetectorSettings, Engine
from pipelines.execution.job import Job, pictured
from pipelines.specs.base import starting_point
from pipelines.specs.tasks import TaskSpec
from pipelines.store.digests import derive_seed
from pipelines.store.stage import Kind, Metrics, Stage, stage_of
from pipelines.tasks.facts import Facts, hashed, local_of, not_hashed, start_of
from pipelines.tasks.task import Chain, Floats, History, Images, Score, Task, widths
from pipelines.tasks.work import Sizes, Work, trained_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from detection.ap import PrecisionRecall
    from detection.matching import Ranking
    from pipelines.datasets.dataset import Dataset

CHECK = Kind("check_detector", 1, f"{__name__}:check_detector")
TRAIN = Kind("train_detector", 2, f"{__name__}:train_detector", ("weights.pt",), resumable=True)
# After a crash made anew: 0.5 s an image on one core, less than between two checkpoints.
TEST = Kind("detect", 1, f"{__name__}:detect", ("predictions.json",))

JOIN = Kind("join_boxes", 1, f"{__name__}:join_boxes", ("predictions.json",))

MEANS = ("mAP50", "mAP50-95")
DEVIATION = (
    "The detector is ultralytics' YOLOv5u: YOLOv5's v6 backbone and neck with an anchor-free head, "
    "its assignment and its losses; the paper's YOLOv5 is anchor-based."
)


class DetectionSpec(DetectorSettings, TaskSpec):
    """The detector that is retrained on each method's images, and its budget."""

    labels_for: ClassVar[str | None] = "detection"
    engine: Engine = "faster"
    _expanded = field_validator("initial_checkpoint", mode="before")(starting_point)


def chain(spec: DetectionSpec, seed: int, images: Images, known: Facts) -> Chain:
    """Return the stages from fused images to AP."""
    facts: dict[str, Any] = {"settings": hashed(spec), "seed": derive_seed("detection", seed)}
    start, check = start_of(spec.initial_checkpoint, "detection.initial_checkpoint", known), None
    local = local_of(images.dataset)
    if start:
        facts["initial_checkpoint"] = start.digest
        network = {"model": spec.model, "classes": len(images.dataset.spec.classes)}
        known_by = {"checkpoint": start.digest, **widths(images)}
        check = stage_of(CHECK, {**network, **known_by}, local=start.local)
    given = {**not_hashed(spec), **(start.local if start else {})}
    training = stage_of(TRAIN, facts, images.stages, {**local, **given})
    testing = {"detector": training, **images.stages}
    test = stage_of(TEST, {"image_size": spec.image_size, **_engine(spec)}, testing, local)
    return Chain((training, test), check)


def join(spec: DetectionSpec, chains: Mapping[str, Chain], images: Images) -> Stage:
    """Return the stage that joins the boxes of several detectors, each tested on its images."""
    tests = {name: chain.stages[-1] for name, chain in chains.items()}
    facts = {"iou": JOIN_IOU, **_engine(spec)}
    return stage_of(JOIN, facts, {**tests, **images.stages}, local_of(images.dataset))


def _engine(spec: DetectionSpec) -> dict[str, str]:
    # The engines agree: only who asks for the slow one gets a result of his own.
    return {} if spec.engine == "faster" else {"engine": spec.engine}


def check_detector(job: Job) -> Metrics:
    """Find out whether the initial checkpoint fits the detector."""
    from detection.yolo.checkpoints import matching_layers

    path = Path(job.local["initial_checkpoint"])
    channels = job.spec.get("channels", 3)
    return {"layers": matching_layers(job.spec["model"], job.spec["classes"], channels, path)}


def train_detector(job: Job) -> Metrics:
    """Train a detector from the same seed and budget on one method's images."""
    from detection.export import export
    from detection.settings import DetectorSettings
    from detection.yolo.training import train
    from fusion.pairs import channels_of
    from pipelines.datasets.labels import boxes_of

    dataset = job.dataset()
    names = [name for names in dataset.splits.values() for name in names]
    # What ultralytics remembers beside the labels may be half written after a crash.
    shutil.rmtree(job.out / "data", ignore_errors=True)
    images = job.images(names)
    data = export(
        images,
        boxes_of({name: entry for name, entry in job.index().items() if name in set(names)}),
        dataset.splits,
        dataset.spec.classes,
        job.out / "data",
        channels_of(images[names[0]]),
    )
    settings = DetectorSettings(
        **job.spec["settings"],
        **job.local["settings"],
        initial_checkpoint=job.path("initial_checkpoint"),
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
    (job.out / "state.pt").unlink()
    return {
        "epochs": result.epochs,
        "layers_loaded": result.layers_loaded,
        "layers_total": result.layers_total,
    }


def detect(job: Job) -> Metrics:
    """Predict on the test split and compute AP per class; keep the predictions and their curves."""
    from detection.yolo.prediction import predict

    dataset = job.dataset()
    found = predict(
        job.inputs["detector"] / "weights.pt",
        job.images(dataset.splits["test"]),
        dataset.spec.classes,
        image_size=job.spec["image_size"],
        device=job.device,
        threads=job.threads,
        on_progress=job.progress("predicting"),
    )
    return _evaluated(job, dataset, found)


def join_boxes(job: Job) -> Metrics:
    """Join what several detectors found on the test split, and compute AP as of one."""
    from detection import joining

    dataset, index = job.dataset(), job.index()
    sizes = {name: (index[name]["width"], index[name]["height"]) for name in dataset.splits["test"]}
    members = [job.inputs[role] for role in sorted(job.inputs.keys() - {"fused", "index"})]
    found = [json.loads((one / "predictions.json").read_text("utf-8")) for one in members]
    return _evaluated(job, dataset, joining.join_boxes(found, sizes))


def _evaluated(job: Job, dataset: Dataset, found: list[dict[str, Any]]) -> Metrics:
    """Compute AP per class; keep the predictions, their curves, and a few pictures."""
    from dataclasses import asdict

    from detection.ap import evaluate
    from detection.datasets import coco_ground_truth
    from pipelines.datasets.labels import boxes_of

    classes, names = dataset.spec.classes, dataset.splits["test"]
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
    from fusion.pairs import channels_of, read_shown, write_png

    folder = job.out / "samples"
    folder.mkdir(exist_ok=True)
    for name, path in job.images(pictured(list(truth))).items():
        mine = [detection for detection in found if detection["image"] == name]
        # Of four channels RGB is drawn upon, and infrared beside it.
        halves = np.split(read_shown(path), channels_of(path) - 2, axis=1)
        drawn = [draw_detections(half.copy(), truth[name].boxes, mine, classes) for half in halves]
        write_png(folder / f"{name}.png", np.hstack(drawn))


def columns(spec: DetectionSpec) -> tuple[str, ...]:
    """Return AP50 by class, and its means."""
    return (*spec.dataset.classes, *MEANS)


def scores(metrics: Mapping[str, Any], spec: DetectionSpec) -> list[Score]:
    """Return a test's scores, one a column."""
    per_class = [metrics["AP50"][name] for name in spec.dataset.classes]
    return [*per_class, metrics["mAP50"], metrics["mAP"]]


def objects(metrics: Mapping[str, Any], spec: DetectionSpec) -> list[int | None]:
    """Return how many objects of each class the test images show; of means, all of them."""
    found = [metrics.get("objects", {}).get(name) for name in spec.dataset.classes]
    known = [number for number in found if number is not None]
    return [*found, *[sum(known) if known else None for _ in MEANS]]


def logged(metrics: Mapping[str, Any]) -> dict[str, Score]:
    """Return all scores of a test by their full names."""
    per_class = {
        f"{name}/{label}": value
        for name, key in (("AP50", "AP50"), ("AP50-95", "AP"))
        for label, value in metrics[key].items()
    }
    return {"mAP50": metrics["mAP50"], "mAP50-95": metrics["mAP"], **per_class}


@dataclass(frozen=True, eq=False)
class Detected:
    """What a test kept in its `folder`: the objects as COCO has them, and the boxes found."""

    folder: Path
    ground_truth: Mapping[str, Any]
    predictions: Sequence[dict[str, Any]]
    classes: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The images that were tested."""
        return tuple(image["file_name"] for image in self.ground_truth["images"])

    @cached_property
    def rankings(self) -> Sequence[Ranking]:
        """Which detections are right, by class: matched once, whoever asks."""
        from detection.matching import rankings

        return rankings(self.ground_truth, self.predictions, self.classes)

    @property
    def curves(self) -> PrecisionRecall:
        """Precision over recall by class."""
        return kept_curves(self.folder, self.classes)


def read(folder: Path, spec: DetectionSpec) -> Detected:
    """Read what a finished test left in `folder`; raises OSError or ValueError where it cannot."""
    truth, predictions = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("ground_truth", "predictions")
    )
    return Detected(folder, truth, predictions, spec.dataset.classes)


def kept_curves(folder: Path, classes: Sequence[str]) -> PrecisionRecall:
    """Return the curves of a finished test; computed where an older version kept none."""
    from detection.ap import PrecisionRecall, evaluate

    kept = folder / "curves.json"
    if kept.is_file():
        curves = json.loads(kept.read_text(encoding="utf-8"))
        lines = {name: tuple(line) for name, line in curves["precision"].items()}
        return PrecisionRecall(tuple(curves["recall"]), lines)
    truth, predictions = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("ground_truth", "predictions")
    )
    return evaluate(truth, predictions, classes).curves


def resample(kept: Detected, counts: NDArray[np.int32]) -> Floats:
    """Return AP50 by class, mAP50 and mAP50-95 of every resample of the images."""
    from detection.resampling import ApResampler

    ap = ApResampler(kept.rankings).resample(counts)
    return np.column_stack([ap.ap50, ap.map50, ap.map])


def training_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of training: images are decoded once, or anew in every epoch."""
    settings, apart = stage.spec["settings"], stage.local.get("settings", {})
    often = settings["epochs"] if apart.get("cache") == "none" else 1
    side, images = settings["image_size"], trained_images(settings, sizes)
    return Work(
        f"{__name__}:network",
        {"model": settings["model"]},
        images,
        side,
        side,
        epochs=settings["epochs"],
        batch=settings.get("micro_batch") or settings["batch"],
        training=True,
        precision=settings.get("precision", "fp32"),
        handled=often * images * sizes.pixels,
        parameter_bytes=4,
    )


def testing_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of testing: the longer side becomes `image_size`, the other by the stride."""
    known = stage.inputs["detector"].spec["settings"]
    scale = stage.spec["image_size"] / max(sizes.height, sizes.width)
    height, width = (-(-side * scale // STRIDE) * STRIDE for side in (sizes.height, sizes.width))
    if "rtdetr" in known["model"]:
        height = width = stage.spec["image_size"]
    return Work(
        f"{__name__}:network",
        {"model": known["model"]},
        sizes.test,
        height,
        width,
        batch=16,
        handled=sizes.test * sizes.pixels,
        data_bytes=100e3 * sizes.test,
    )


def joining_work(stage: Stage, sizes: Sizes) -> Work:
    """Return the work of joining boxes, which takes less than reading the images to draw."""
    return Work("", {}, sizes.test, sizes.height, sizes.width, data_bytes=100e3 * sizes.test)


def network(
    given: Mapping[str, Any], device: str, training: bool
) -> tuple[nn.Module, Callable[[int, int, int], Tensor]]:
    """Return the detector, and what shows it random images."""
    import torch

    from detection.yolo.ultralytics import build_network

    built = build_network(given["model"], 6).to(device).train(training)

    def total(outputs: Any) -> Tensor:
        if isinstance(outputs, torch.Tensor):
            return outputs.float().sum()
        parts = outputs.values() if isinstance(outputs, Mapping) else outputs or ()
        sums: Tensor = sum(map(total, parts), torch.zeros((), device=device))
        return sums

    def forward(batch: int, height: int, width: int) -> Tensor:
        return total(built(torch.rand(batch, 3, height, width, device=device)))

    return built, forward


def _loss(row: Mapping[str, float], side: str) -> float:
    parts = [value for name, value in row.items() if re.fullmatch(rf"{side}/\w+_loss", name)]
    return sum(parts) if parts else math.nan


def deviations(spec: DetectionSpec) -> tuple[str, ...]:
    """Return how the detector and its test differ from the paper's, in sentences."""
    told = [DEVIATION] if spec.model.startswith("yolov5") else [f"The detector is {spec.model}."]
    chosen = (
        "no suppression (300 boxes an image, which is stretched to a square)"
        if spec.is_transformer
        else f"non-maximum suppression at IoU {NMS_IOU:g}"
    )
    told.append(
        f"Not stated by the paper, ours: AP is COCO's (101 recall points, at most 100 boxes an "
        f"image, computed by {spec.engine}); boxes are predicted at {spec.image_size} px, with "
        f"scores from {CONFIDENCE:g} and {chosen}. YOLOv5's own "
        f"evaluation interpolates otherwise and suppresses at 0.6."
    )
    told.append("No training stops early; YOLOv5's own does after 100 epochs without gain.")
    if spec.select == "best":
        half = " in half precision (fp16)" if spec.precision == "bf16" else ""
        told.append(
            f"The best epoch is chosen by mAP50-95 on the validation split{half}; YOLOv5's own is "
            f"by 0.9 mAP50-95 + 0.1 mAP50."
        )
    return tuple(told)


TASK = Task(
    name="detection",
    verb="detect on",
    command="detect",
    metric="AP50 in percent",
    headline="mAP50",
    section=DetectionSpec,
    columns=columns,
    compared=MEANS,
    chain=chain,
    scores=scores,
    objects=objects,
    logged=logged,
    read=read,
    resample=resample,
    histories={
        TRAIN.name: History(
            "Detector: sum of its losses for boxes and classes on the training images",
            "run/results.csv",
            lambda row: _loss(row, "train"),
            lambda row: _loss(row, "val"),
        )
    },
    works={TRAIN.name: training_work, TEST.name: testing_work, JOIN.name: joining_work},
    join=join,
    stacking="hue, saturation and brightness are drawn for RGB alone",
    joining=f"boxes by weighted box fusion at IoU {JOIN_IOU:g}",
    paper="table4",
    deviations=deviations,
    order=10,
)
