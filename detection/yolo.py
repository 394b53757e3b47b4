"""The detector, YOLOv5u: train and predict; the only module that knows ultralytics.

Importing ultralytics patches ``torch.save`` and ``PIL.Image.open`` for the whole process and
sends its log to the console, so it is imported late, and training belongs in a process of its own.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from detection.settings import MODELS, STRIDE, DetectorSettings
from fusion.errors import InputError, did_you_mean
from fusion.pairs import Image, read_rgb

EpochHook = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with its number (from 1), the number of epochs, and the metrics."""


@dataclass(frozen=True)
class DetectorResult:
    """What a training left: weights, epochs done, seconds, layers taken over, metrics per epoch.

    `layers_loaded` counts the tensors taken from the initial checkpoint, of `layers_total` in
    the network; it is None without one.
    """

    weights: Path
    epochs: int
    seconds: float
    layers_loaded: int | None
    layers_total: int
    history: list[dict[str, float]]


def train(
    data_yaml: Path,
    settings: DetectorSettings,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    on_epoch: EpochHook | None = None,
) -> DetectorResult:
    """Train a detector on an exported dataset and return where its weights lie.

    Writes ``out/weights.pt`` (a plain dict for `predict`), ``out/train.log`` and ``out/run/``
    (ultralytics' args.yaml and results.csv); prints nothing and downloads nothing. Equal seeds
    give equal results on a CPU. `threads` is the number of torch threads on a CPU, and of
    image-loading processes on CUDA. Validates, on the val split, only for ``select="best"``.
    Raises InputError for a checkpoint of another network, a diverged training, or a GPU that is
    missing or too small.
    """
    data = yaml.safe_load(data_yaml.read_text(encoding="utf-8"))
    _check_training(data, settings, device)
    out.mkdir(parents=True, exist_ok=True)
    _prepare_ultralytics()
    started = time.monotonic()
    with _log_to(out / "train.log"), _torch_threads(threads):
        trainer = _build_trainer(data_yaml, settings, out, seed, device, threads)
        loaded = _fill(trainer.model, settings.initial_checkpoint)
        total = len(trainer.model.state_dict())
        recorder = _Recorder(settings, on_epoch)
        trainer.add_callback("on_fit_epoch_end", recorder)
        _run(trainer, settings)
    weights = _write_weights(out, settings, list(data["names"].values()), recorder.state)
    seconds = time.monotonic() - started
    return DetectorResult(weights, len(recorder.history), seconds, loaded, total, recorder.history)


@torch.inference_mode()
def predict(
    weights: Path,
    images: Mapping[str, Path],
    classes: Sequence[str],
    *,
    image_size: int,
    device: str = "cpu",
    threads: int = 1,
    batch: int = 16,
    confidence: float = 0.001,
    iou: float = 0.7,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Detect objects and return COCO detections, by image name and falling score.

    Each is ``{"image", "category_id" (from 1), "bbox" [x, y, w, h] in pixels, "score"}``. The
    thresholds are those of validation: every class of a box counts, at most 300 boxes an image.
    `on_progress` gets the images done and their number. Raises InputError when `weights` is not
    from `train`, or was trained for other classes.
    """
    _check_device(device)
    _prepare_ultralytics()
    with _torch_threads(threads):
        network = _load_network(weights, classes).to(device).eval()
        found: list[dict[str, Any]] = []
        names = sorted(images)
        for start in range(0, len(names), batch):
            chunk = names[start : start + batch]
            pictures = [read_rgb(images[name]) for name in chunk]
            for name, rows in zip(
                chunk, _detect(network, pictures, image_size, confidence, iou), strict=True
            ):
                found.extend(_as_detections(name, rows))
            if on_progress is not None:
                on_progress(start + len(chunk), len(names))
    return found


def matching_layers(model: str, classes: int, checkpoint: Path) -> int:
    """Return how many tensors of a detector `checkpoint` would fill; prints nothing.

    Raises InputError when there is none, so that a wrong file is found before any training.
    """
    _prepare_ultralytics()
    return _fill(_build_network(model, classes), checkpoint) or 0


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the floating-point tensors by key of a checkpoint, without running its pickle code.

    Reads a plain state dict, one nested under "state_dict", and ultralytics' own files, of which
    only the building blocks of YOLOv5u are allowed. Raises InputError for anything else.
    """
    content = _torch_load(path)
    if isinstance(content, dict):
        for key in ("state_dict", "ema", "model"):
            if content.get(key) is not None:
                content = content[key]
                break
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no state dict; give a checkpoint of a YOLOv5 network.")
    tensors = {k: v.float() for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors; give a checkpoint of a YOLOv5 network.")
    return tensors


class _Recorder:
    """An ultralytics callback that keeps each epoch's metrics and the weights to be saved."""

    def __init__(self, settings: DetectorSettings, on_epoch: EpochHook | None) -> None:
        self.settings, self.on_epoch = settings, on_epoch
        self.history: list[dict[str, float]] = []
        self.state: dict[str, Tensor] = {}
        self.best = -1.0

    def __call__(self, trainer: Any) -> None:
        if trainer.batch_size != self.settings.batch:  # ultralytics halves it silently
            raise InputError(
                f"The GPU's memory is too small for batch: {self.settings.batch}; choose a "
                f"smaller batch or image_size."
            )
        metrics = trainer.label_loss_items(trainer.tloss)
        if self.settings.select == "best":  # otherwise nothing was validated
            metrics.update(trainer.metrics)
        metrics["learning_rate"] = trainer.lr["lr/pg0"]
        row = {key.replace("(B)", ""): float(value) for key, value in metrics.items()}
        self.history.append(row)
        if self.settings.select == "last" or trainer.fitness > self.best:
            self.best = trainer.fitness if trainer.fitness is not None else self.best
            state = trainer.ema.ema.state_dict()
            self.state = {key: value.detach().cpu().clone() for key, value in state.items()}
        if self.on_epoch is not None:
            self.on_epoch(trainer.epoch + 1, self.settings.epochs, row)


def _build_trainer(
    data_yaml: Path, settings: DetectorSettings, out: Path, seed: int, device: str, threads: int
) -> Any:
    from ultralytics.models.yolo.detect import DetectionTrainer

    best = settings.select == "best"
    overrides = {
        "model": f"{settings.model}.yaml",
        "data": str(data_yaml),
        "epochs": settings.epochs,
        "imgsz": settings.image_size,
        "batch": settings.batch,
        "nbs": settings.nominal_batch,
        "optimizer": settings.optimizer,
        "lr0": settings.learning_rate,
        "lrf": settings.final_learning_rate,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
        "warmup_epochs": settings.warmup_epochs,
        "warmup_bias_lr": settings.warmup_bias_learning_rate,
        "mosaic": settings.mosaic,
        "close_mosaic": settings.close_mosaic,
        "seed": seed,
        "deterministic": True,
        "amp": "bf16" if settings.precision == "bf16" else False,  # True would fetch a model
        "device": device,
        "workers": 0 if device == "cpu" else threads,
        "patience": 0,  # no early stop: every method gets the same budget
        "val": best,
        "plots": False,
        "save": False,
        "pretrained": False,
        "project": str(out.resolve()),
        "name": "run",
        "exist_ok": True,
    }
    trainer = DetectionTrainer(overrides=overrides)
    # Seeds are set by now. A network given here is not rebuilt, so its loaded weights survive.
    trainer.model = _build_network(settings.model, len(trainer.data["names"]))
    # We keep plain weights ourselves: no pickled network, no second validation at the end.
    trainer.save_model = lambda: False
    trainer.final_eval = lambda: None
    if not best:
        trainer.validate = lambda: ({}, None)
    return trainer


def _run(trainer: Any, settings: DetectorSettings) -> None:
    try:
        trainer.train()
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        raise _diverged(settings) from error
    finally:
        shutil.rmtree(trainer.wdir)


def _diverged(settings: DetectorSettings) -> InputError:
    return InputError(
        f"The training diverged (its loss is not finite); lower learning_rate: "
        f"{settings.learning_rate:g} or raise warmup_epochs: {settings.warmup_epochs:g}."
    )


def _write_weights(
    out: Path, settings: DetectorSettings, classes: list[str], state: dict[str, Tensor]
) -> Path:
    if not state or not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise _diverged(settings)
    path = out / "weights.pt"
    torch.save({"model": settings.model, "classes": classes, "state_dict": state}, path)
    return path


def _build_network(model: str, classes: int) -> Any:
    """Build YOLOv5u from ultralytics' own file; by a bare name it would prefer one in the cwd."""
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import ROOT

    text = (ROOT / "cfg" / "models" / "v5" / "yolov5.yaml").read_text(encoding="utf-8")
    plan = {**yaml.safe_load(text), "scale": model[-1], "yaml_file": f"{model}.yaml"}
    return DetectionModel(plan, nc=classes, verbose=False)


def _fill(network: Any, checkpoint: Path | None) -> int | None:
    """Copy every tensor of equal key and shape into `network`; return how many there were."""
    if checkpoint is None:
        return None
    theirs, ours = read_checkpoint(checkpoint), network.state_dict()
    common = {k: v for k, v in theirs.items() if k in ours and ours[k].shape == v.shape}
    if not common:
        first, second = (", ".join(list(side)[:3]) for side in (theirs, ours))
        raise InputError(
            f"{checkpoint} is a checkpoint of another network: it holds {first}, ..., but the "
            f"detector needs {second}, ...; give a checkpoint of the same model."
        )
    network.load_state_dict(common, strict=False)
    return len(common)


def _load_network(weights: Path, classes: Sequence[str]) -> Any:
    content = _torch_load(weights)
    if not isinstance(content, dict) or not {"model", "classes", "state_dict"} <= content.keys():
        raise InputError(f"{weights} was not written by this package's training; train first.")
    if list(content["classes"]) != list(classes):
        raise InputError(
            f"{weights} was trained for {', '.join(content['classes'])}, not for "
            f"{', '.join(classes)}; predict with the same classes in the same order."
        )
    if content["model"] not in MODELS:
        hint = did_you_mean(str(content["model"]), list(MODELS))
        raise InputError(f'{weights} is of the detector "{content["model"]}", not known.{hint}')
    network = _build_network(content["model"], len(classes))
    network.load_state_dict(content["state_dict"])
    return network


def _torch_load(path: Path) -> Any:
    """Load with weights_only, first bare, then with the classes of a pickled YOLOv5u allowed.

    torch answers garbage with errors of any type (KeyError, EOFError, ...), so all are caught.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path.") from error
    except Exception:
        _prepare_ultralytics()  # perhaps it is ultralytics' own format
    try:
        with torch.serialization.safe_globals(_yolov5_classes()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} is neither a plain state dict nor a YOLOv5u file of ultralytics, and files "
            f"that could run code are not loaded; save its state_dict() and give that."
        ) from error


def _yolov5_classes() -> list[Any]:
    """Return what a pickled YOLOv5u consists of, and nothing whose construction has effects."""
    from torch import nn
    from torch.nn.modules import container
    from ultralytics.nn.modules import block, conv, head
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import IterableSimpleNamespace

    ours = [conv.Conv, conv.DWConv, conv.Concat, block.Bottleneck, block.C3, block.SPPF]
    ours += [block.DFL, head.Detect, DetectionModel, IterableSimpleNamespace]
    theirs = [nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.MaxPool2d, nn.Identity]
    return [*ours, *theirs, nn.Upsample, container.Sequential, container.ModuleList]


def _detect(
    network: Any, pictures: Sequence[Image], image_size: int, confidence: float, iou: float
) -> list[Tensor]:
    """Return per picture an N x 6 tensor: x1, y1, x2, y2 in its pixels, score, label."""
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    boxed = LetterBox((image_size, image_size), auto=True, stride=STRIDE)
    inputs = [np.ascontiguousarray(boxed(image=picture).transpose(2, 0, 1)) for picture in pictures]
    place = next(network.parameters()).device
    results: list[Tensor] = []
    for group in _runs_of_one_shape(inputs):
        batch = torch.from_numpy(np.stack(group)).to(place).float() / 255
        # Without max_time_img a slow machine would silently lose the last images of a batch.
        found = non_max_suppression(
            network(batch), confidence, iou, multi_label=True, max_det=300, max_time_img=1e9
        )
        for rows in found:
            shape = pictures[len(results)].shape[:2]
            scale_boxes(batch.shape[2:], rows[:, :4], shape)
            results.append(rows.cpu())
    return results


def _runs_of_one_shape(inputs: Sequence[Image]) -> Iterator[list[Image]]:
    group: list[Image] = []
    for item in inputs:
        if group and item.shape != group[0].shape:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _as_detections(name: str, rows: Tensor) -> list[dict[str, Any]]:
    return [
        {
            "image": name,
            "category_id": int(label) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for x1, y1, x2, y2, score, label in rows.tolist()
    ]


def _prepare_ultralytics() -> None:
    """Import ultralytics quiet and offline, with settings of its own that outlive no import.

    Its configuration folder is needed only while it is imported, and is removed at once: a
    process that is killed later leaves nothing behind.
    """
    import sys
    import tempfile

    if "ultralytics" in sys.modules:
        return
    with tempfile.TemporaryDirectory(prefix="fuse-then-ultralytics-") as folder:
        os.environ.update(
            YOLO_CONFIG_DIR=folder,
            YOLO_OFFLINE="true",
            YOLO_AUTOINSTALL="false",
            YOLO_VERBOSE="false",  # no progress bars
            NO_ALBUMENTATIONS_UPDATE="1",
        )
        from ultralytics.data import utils
        from ultralytics.utils import SETTINGS

        # No integration may report anything, and nobody needs the font that would be fetched.
        SETTINGS.update({key: False for key, value in SETTINGS.items() if isinstance(value, bool)})
        utils.check_font = lambda _name: None


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Send ultralytics' log and Python's warnings to a file, and nothing to the console."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    loggers = [logging.getLogger("ultralytics"), logging.getLogger("py.warnings")]
    before = [(item.handlers[:], item.level, item.propagate) for item in loggers]
    logging.captureWarnings(True)
    try:
        for item in loggers:
            item.handlers, item.propagate = [handler], False
            item.setLevel(logging.INFO)
        yield
    finally:
        logging.captureWarnings(False)
        for item, (handlers, level, propagate) in zip(loggers, before, strict=True):
            item.handlers, item.propagate = handlers, propagate
            item.setLevel(level)
        handler.close()


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Set torch's threads, also where ultralytics resets them to the number of cores less one."""
    from ultralytics.utils import torch_utils

    before, theirs = torch.get_num_threads(), torch_utils.NUM_THREADS
    torch_utils.NUM_THREADS = threads
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch_utils.NUM_THREADS = theirs
        torch.set_num_threads(before)


def _check_training(data: dict[str, Any], settings: DetectorSettings, device: str) -> None:
    if settings.select == "best" and data["val"] == data["train"]:
        raise InputError(
            'select: "best" needs a val split, and the dataset has none; add one, or use '
            'select: "last".'
        )
    _check_device(device)
    if settings.precision == "bf16" and device == "cpu":
        raise InputError('precision: "bf16" needs a CUDA device; use "fp32" on a CPU.')


def _check_device(device: str) -> None:
    if device != "cpu" and not device.startswith("cuda"):
        raise InputError(f'The device "{device}" is not known; use "cpu" or "cuda:NUMBER".')
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f'The device "{device}" is not there: torch sees no GPU; use "cpu".')
