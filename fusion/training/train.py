"""Train a fusion method on aligned pairs; an interrupted run continues bit for bit (on the CPU)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusion.building import build
from fusion.files import write_history
from fusion.generation.device import fuse_images
from fusion.looking.contact_sheet import contact_sheet
from fusion.method import FusionMethod
from fusion.pairs import ImagePair
from fusion.registry import method_class, resolve_params
from fusion.torch_tools import (
    check_precision,
    float32_products,
    limited_threads,
    resolve_device,
    room_for,
)
from fusion.training.data import PairMemory
from fusion.training.parts import check_trainings, load_part, part_state
from fusion.training.run import Batch, Losses, Row, TrainingRun, own_randomness
from fusion.training.settings import PretrainSettings, TrainSettings
from fusion.weights.checkpoints import PART, plain, save_checkpoint

SAMPLES = 4


@dataclass(frozen=True)
class TrainResult:
    """The trained weights, one history row an epoch, and all seconds spent."""

    checkpoint: Path
    history: tuple[Row, ...]
    seconds: float


def train(
    method_name: str,
    params: Mapping[str, Any],
    train_pairs: Sequence[ImagePair],
    val_pairs: Sequence[ImagePair],
    settings: TrainSettings,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    pretrained: Path | None = None,
) -> TrainResult:
    """Train `method_name` with Adam on random crops and return where its weights are.

    `params` are the constructor's arguments, "preset" among them if wanted. `out` receives
    weights.pt, history.csv and samples.png at the end and state.pt every
    `checkpoint_minutes`; called again on the same `out`, training goes on from state.pt, and on
    the CPU ends with the very weights of an uninterrupted run with as many threads. `epochs` may
    grow. `PretrainSettings` train the part that a method has pretrained, and leave its weights
    alone; these are what `pretrained` names when the rest is trained. Raises InputError for wrong
    settings, weights, images or states, and when the loss is not finite.
    """
    first = isinstance(settings, PretrainSettings)
    where = resolve_device(device)
    check_precision(settings.precision, device)
    cls = method_class(method_name)
    check_trainings(method_name, cls, first, pretrained)
    arguments = resolve_params(
        method_name, cls, params.get("preset"), {k: v for k, v in params.items() if k != "preset"}
    )
    data = PairMemory(train_pairs, settings.crop)
    data.check_epoch(settings.batch_size, settings.crops_per_image)
    val = PairMemory(val_pairs, settings.crop)
    identity = _identity(method_name, arguments, settings, seed, data, val)
    batch = f"batch_size: {settings.batch_size} with crop: {settings.crop}; lower one of them"
    with (
        limited_threads(threads),
        own_randomness(where),
        float32_products(settings.precision),
        room_for(settings.batch_size, device, batch),
    ):
        torch.manual_seed(seed)
        method, state, fixed = build(cls, method_name, arguments), out / "state.pt", None
        losses = _losses(method.pretraining_loss if first else method.loss)
        if pretrained is not None:
            identity |= load_part(method, method_name, arguments, pretrained)
            fixed = method.get_submodule(method.pretrained)
        run = TrainingRun(method.to(where), losses, settings, seed, where, state, identity, fixed)
        run.resume()
        run.epochs(data, val, on_epoch)
        checkpoint = out / "weights.pt"
        _save(checkpoint, method, (method_name, arguments), settings, seed, run.history)
        write_history(out / "history.csv", run.history)
        if not first:
            shown = val if len(val) else data
            _write_samples(out / "samples.png", method, shown, 4 * settings.crop, where)
    seconds = sum(row["seconds"] for row in run.history)
    return TrainResult(checkpoint, tuple(run.history), seconds)


def _save(
    path: Path,
    method: FusionMethod,
    made_by: tuple[str, Mapping[str, Any]],
    settings: TrainSettings,
    seed: int,
    history: Sequence[Row],
) -> None:
    """Write the weights of all that was trained, with how; `made_by` is its name and arguments."""
    # No seconds: equal trainings give equal files, and what was made of them stays valid.
    last = {key: value for key, value in history[-1].items() if key != "seconds"}
    used = {**settings.model_dump(exclude={"checkpoint_minutes"}), "seed": seed}
    extra: dict[str, Any] = {"settings": used, "epochs": settings.epochs, "last": last}
    first = isinstance(settings, PretrainSettings)
    weights = part_state(method) if first else method.state_dict()
    extra |= {PART: method.pretrained} if first else {}
    save_checkpoint(path, *made_by, weights, extra)


def _identity(
    name: str,
    arguments: Mapping[str, Any],
    settings: TrainSettings,
    seed: int,
    data: PairMemory,
    val: PairMemory,
) -> dict[str, Any]:
    """Return what must be equal for a state to be continued; more epochs may be asked for."""
    same = settings.model_dump(exclude={"epochs", "checkpoint_minutes"})
    images = {"training images": data.digest(), "validation images": val.digest()}
    return {"method": name, "params": plain(arguments, "params"), **same, "seed": seed, **images}


def _losses(loss: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> Losses:
    """Return what computes a method's `loss` of a batch of pairs in uint8."""

    def of(pairs: Batch) -> dict[str, Tensor]:
        infrared, visible = (part.float() / 255 for part in pairs)
        return loss(infrared, visible)

    return of


def _write_samples(
    path: Path, method: FusionMethod, shown: PairMemory, window: int, where: torch.device
) -> None:
    """Draw the first pairs' middle, at most `window` pixels wide: a big net on a CPU is slow."""
    method.eval()
    rows = []
    for name, infrared, visible in shown.middles(window)[:SAMPLES]:
        fused = fuse_images(method, infrared[None], visible[None], where)[0]
        rows.append((name, [infrared, visible, fused]))
    contact_sheet(rows, ["infrared", "visible", "fused"], path)
