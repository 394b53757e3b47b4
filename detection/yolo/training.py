"""Training the detector: our settings in ultralytics' loop, our weights out of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from detection.settings import DetectorSettings
from detection.yolo.checkpoints import fill, write_weights
from detection.yolo.resuming import Keeper, identity_of
from detection.yolo.trainer import OurTrainer, too_small
from detection.yolo.ultralytics import (
    build_network,
    build_trainer,
    limited_threads,
    log_to,
    mixed_on_processor,
)
from fusion.errors import InputError
from fusion.torch_tools import check_precision, float32_products, resolve_device

EpochHook = Callable[[int, int, dict[str, float]], None]
"""Called after each epoch with its number (from 1), the number of epochs, and the metrics."""

OURS = {
    "model",
    "initial_checkpoint",
    "select",
    "validate_every",
    "micro_batch",
    "precision",
    "loader_processes",
    "cache",
    "checkpoint_minutes",
}
"""Settings that ultralytics does not know, or that we act upon ourselves."""
THEIR_NAMES = {
    "image_size": "imgsz",
    "nominal_batch": "nbs",
    "learning_rate": "lr0",
    "final_learning_rate": "lrf",
    "warmup_bias_learning_rate": "warmup_bias_lr",
}
"""What ultralytics calls our settings; it knows the others by our names."""


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
    give equal results on a CPU. Every `checkpoint_minutes`, and at the end, an epoch leaves
    ``out/state.pt``; a later call with the same arguments continues there and, on a CPU, ends
    equal to the bit. `threads` is the number of torch threads on a CPU, and the most
    image-loading processes on an accelerator. Validates, on the val split, only for
    ``select="best"``.
    Raises InputError for a checkpoint of another network, another training's state in `out`, a
    diverged training, or a GPU that is missing or too small.
    """
    data = yaml.safe_load(data_yaml.read_text(encoding="utf-8"))
    _check(data, settings, device)
    out.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(out / "state.pt", identity_of(data_yaml, settings, seed), settings)
    state = keeper.read()
    with log_to(out / "train.log"), limited_threads(threads):
        trainer = _trainer(data_yaml, settings, out, seed, device, threads)
        start = settings.initial_checkpoint
        loaded = None if start is None else fill(trainer.model, start)
        total = len(trainer.model.state_dict())
        recorder = Recorder(settings, on_epoch)
        trainer.add_callback("on_fit_epoch_end", recorder)
        keeper.attach(trainer, recorder, state)
        _run(trainer, settings)
    if not recorder.usable:
        raise _diverged(settings)
    classes = list(data["names"].values())
    weights = write_weights(out / "weights.pt", settings.model, classes, recorder.state)
    rows = recorder.history
    return DetectorResult(weights, len(rows), keeper.seconds, loaded, total, rows)


class Recorder:
    """An ultralytics callback that keeps each epoch's metrics and the weights to be saved."""

    def __init__(self, settings: DetectorSettings, on_epoch: EpochHook | None) -> None:
        self.settings, self.on_epoch = settings, on_epoch
        self.history: list[dict[str, float]] = []
        self.state: dict[str, Tensor] = {}
        self.best = -1.0

    def __call__(self, trainer: Any) -> None:
        """Take note of an epoch."""
        metrics = trainer.label_loss_items(trainer.tloss)
        if self.settings.select == "best":  # otherwise nothing was validated
            metrics.update(trainer.metrics)
        metrics["learning_rate"] = trainer.lr["lr/pg0"]
        row = {key.replace("(B)", ""): float(value) for key, value in metrics.items()}
        self.history.append(row)
        validated = trainer.fitness is not None
        if self.settings.select == "last" or (validated and trainer.fitness > self.best):
            self.best = trainer.fitness if validated else self.best
            state = trainer.ema.ema.state_dict()
            self.state = {key: value.detach().cpu().clone() for key, value in state.items()}
        if self.on_epoch is not None:
            self.on_epoch(trainer.epoch + 1, self.settings.epochs, row)

    @property
    def usable(self) -> bool:
        """Whether weights were kept, all of them finite."""
        finite = (bool(torch.isfinite(value).all()) for value in self.state.values())
        return bool(self.state) and all(finite)


def _trainer(
    data_yaml: Path, settings: DetectorSettings, out: Path, seed: int, device: str, threads: int
) -> Any:
    best = settings.select == "best"
    given = settings.model_dump(exclude=OURS)
    overrides = {
        **{THEIR_NAMES.get(name, name): value for name, value in given.items()},
        **_steps(settings),
        "model": f"{settings.model}.yaml",
        "data": str(data_yaml),
        "seed": seed,
        "deterministic": True,
        "amp": "bf16" if settings.precision == "bf16" else False,  # True would fetch a model
        "device": str(resolve_device(device)),
        "patience": 0,  # no early stop: every method gets the same budget
        "val": best,
        "plots": False,
        "save": False,
        "pretrained": False,
        "project": str(out.resolve()),
        "name": "run",
        "exist_ok": True,
    }
    trainer = build_trainer(overrides, OurTrainer, transformer=settings.is_transformer)
    trainer.set_up(settings, device, threads)
    # Seeds are set by now. A network given here is not rebuilt, so its loaded weights survive.
    classes, channels = len(trainer.data["names"]), trainer.data["channels"]
    trainer.model = build_network(settings.model, classes, channels)
    # We keep plain weights ourselves: no pickled network, no second validation at the end.
    trainer.save_model = lambda: False
    trainer.final_eval = lambda: None
    return trainer


def _steps(settings: DetectorSettings) -> dict[str, Any]:
    """Return ultralytics' settings that make the steps of `batch` out of smaller ones."""
    if settings.micro_batch is None:
        return {}
    batches = max(round(settings.nominal_batch / settings.batch), 1)
    images = batches * settings.batch
    # ultralytics scales the decay by images / nbs, and would find them equal.
    decay = settings.weight_decay * images / settings.nominal_batch
    return {"batch": settings.micro_batch, "nbs": images, "weight_decay": decay}


def _run(trainer: Any, settings: DetectorSettings) -> None:
    try:
        with ExitStack() as around:
            around.enter_context(float32_products(settings.precision))
            if trainer.device.type == "cpu" and settings.precision == "bf16":
                around.enter_context(mixed_on_processor())
            if trainer.start_epoch < settings.epochs:
                trainer.train()
    except torch.OutOfMemoryError as error:
        raise too_small(settings, trainer.where) from error
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


def _check(data: dict[str, Any], settings: DetectorSettings, device: str) -> None:
    if settings.select == "best" and data["val"] == data["train"]:
        raise InputError(
            'select: "best" needs a val split, and the dataset has none; add one, or use '
            'select: "last".'
        )
    resolve_device(device)
    check_precision(settings.precision, device)
