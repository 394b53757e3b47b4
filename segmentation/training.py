"""Training a segmenter: the same settings for every method, exact to resume, quiet."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fusion.errors import InputError
from segmentation.deeplab import (
    EncoderLoad,
    build_model,
    check_device,
    limited_threads,
    load_file,
    normalise,
    save_file,
    to_device,
)
from segmentation.iou import confusion_matrix, scores
from segmentation.samples import (
    Samples,
    ahead,
    augmentation,
    batch_indices,
    class_weights,
    mixed_seed,
    read_split,
)
from segmentation.settings import SegmenterSettings, learning_rate


@dataclass(frozen=True)
class Epoch:
    """One row of the history; `val_miou` is nan when no validation takes place."""

    epoch: int
    loss: float
    learning_rate: float
    val_miou: float


@dataclass(frozen=True)
class SegmenterResult:
    """A finished training: its weights file, one row per epoch, and its cost in seconds."""

    weights: Path
    history: tuple[Epoch, ...]
    seconds: float
    encoder: EncoderLoad


def train(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    splits: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    settings: SegmenterSettings,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> SegmenterResult:
    """Train on the split "train" and write ``out/weights.pt`` and ``out/history.csv``.

    `images` and `masks` are files by name, `splits` lists of such names. Every epoch ends with
    ``out/state.pt``; a later call with the same arguments continues there and, on the CPU, ends
    bitwise equal to an uninterrupted run. `on_epoch` is called once the state is safe.
    Raises InputError for bad data, another run's state in `out`, or a diverging loss.
    """
    check_device(device)
    wanted = ("train", "val") if settings.select == "best" else ("train",)
    data = {s: read_split(s, images, masks, splits, len(classes), settings, out) for s in wanted}
    if len(data["train"].images) < 2:
        raise InputError('The split "train" holds one image; training needs at least two.')
    out.mkdir(parents=True, exist_ok=True)
    gpus = [torch.device(device)] if device.startswith("cuda") else []
    with limited_threads(threads), torch.random.fork_rng(devices=gpus):
        run = _Run(data, tuple(classes), settings, seed, out, device)
        while len(run.history) < settings.epochs:
            row = run.epoch()
            if on_epoch is not None:
                on_epoch(row)
    return run.finish()


class _Run:
    """A training between two epochs: everything that state.pt holds, and the means to go on."""

    def __init__(
        self,
        data: Mapping[str, Samples],
        classes: tuple[str, ...],
        settings: SegmenterSettings,
        seed: int,
        out: Path,
        device: str,
    ) -> None:
        self.data, self.classes, self.settings = data, classes, settings
        self.seed, self.out, self.device = seed, out, device
        torch.manual_seed(seed)
        model, self.encoder = build_model(
            settings.architecture, settings.encoder, len(classes), settings.encoder_checkpoint
        )
        self.model = to_device(model, device)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.weights = class_weights(data["train"].masks, len(classes), settings).to(device)
        self.augment = augmentation(settings) if settings.augment else None
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None
        self.seconds = 0.0
        self.identity = _identity(data, classes, settings, seed)
        if (out / "state.pt").exists():
            self._resume(out / "state.pt")

    def epoch(self) -> Epoch:
        """Train one epoch, validate if asked to, and write the state."""
        start, number, s = time.perf_counter(), len(self.history), self.settings
        # Each epoch has its own seed, so that a resumed run needs no generator's state.
        torch.manual_seed(mixed_seed(self.seed, number))
        self.model.train()
        batches = batch_indices(len(self.data["train"].images), s.batch, self.seed, number)
        losses = []
        for step, (images, ids) in enumerate(ahead(lambda b: self._batch(b, number), batches)):
            rate = learning_rate(s, number * len(batches) + step, s.epochs * len(batches))
            losses.append(self._step(images, ids, rate))
        loss = float(torch.stack(losses).mean())
        if not math.isfinite(loss):
            raise InputError(
                f"The segmenter's loss is {loss} in epoch {number + 1}; lower learning_rate "
                f"(now {s.learning_rate})."
            )
        miou = self._validate() if s.select == "best" else math.nan
        row = Epoch(number + 1, loss, rate, miou)
        self._keep_best(row)
        self.history.append(row)
        self.seconds += time.perf_counter() - start
        self._save()
        return row

    def finish(self) -> SegmenterResult:
        """Write the chosen weights and the history."""
        s, state = self.settings, self.best or self.model.state_dict()
        weights = self.out / "weights.pt"
        about = {
            "architecture": s.architecture,
            "encoder": s.encoder,
            "classes": list(self.classes),
            "height": s.height,
            "width": s.width,
        }
        save_file(weights, {**about, "state_dict": {k: v.cpu() for k, v in state.items()}})
        _write_history(self.out / "history.csv", self.history)
        return SegmenterResult(weights, tuple(self.history), self.seconds, self.encoder)

    def _step(self, images: Tensor, ids: Tensor, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images, ids = images.to(self.device), ids.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(normalise(images)), ids.long(), self.weights)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _batch(self, indices: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        train = self.data["train"]
        pairs = [(train.images[i], train.masks[i]) for i in indices]
        if self.augment is not None:
            seeds = [mixed_seed(self.seed, epoch, int(i)) for i in indices]
            pairs = [self.augment(*p, seed) for p, seed in zip(pairs, seeds, strict=True)]
        images, masks = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
        return images, masks

    @torch.inference_mode()
    def _validate(self) -> float:
        self.model.eval()
        val, n = self.data["val"], len(self.classes)
        total = np.zeros((n, n), dtype=np.int64)
        for image, mask in zip(val.images, val.masks, strict=True):
            logits = self.model(normalise(torch.from_numpy(image)[None].to(self.device)))
            total += confusion_matrix(mask, logits.argmax(1)[0].cpu().numpy(), n)
        return scores(total, self.classes).miou

    def _keep_best(self, row: Epoch) -> None:
        if self.settings.select != "best":
            return
        if self.best is None or row.val_miou > max(r.val_miou for r in self.history):
            state = self.model.state_dict()
            self.best = {key: tensor.detach().cpu().clone() for key, tensor in state.items()}

    def _save(self) -> None:
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": [astuple(row) for row in self.history],
            "best": self.best,
            "seconds": self.seconds,
        }
        save_file(self.out / "state.pt", state)

    def _resume(self, path: Path) -> None:
        state = load_file(path)
        if state.get("identity") != self.identity:
            raise InputError(
                f"{path} belongs to a training with other settings, classes, images or masks; "
                f"remove it or choose another folder."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = [Epoch(*row) for row in state["history"]]
        self.best, self.seconds = state["best"], state["seconds"]


def _identity(
    data: Mapping[str, Samples], classes: tuple[str, ...], settings: SegmenterSettings, seed: int
) -> str:
    """Return a digest of all that decides the outcome, to tell one run's state from another's."""
    plain = settings.model_dump(mode="json")
    if settings.encoder_checkpoint is not None:
        # What the checkpoint holds matters, not where it lies.
        plain["encoder_checkpoint"] = hashlib.sha256(
            Path(settings.encoder_checkpoint).read_bytes()
        ).hexdigest()
    digest = hashlib.sha256(json.dumps([plain, seed, classes], sort_keys=True).encode())
    for split in sorted(data):
        digest.update(np.ascontiguousarray(data[split].images).data)
        digest.update(np.ascontiguousarray(data[split].masks).data)
    return digest.hexdigest()


def _write_history(path: Path, history: Sequence[Epoch]) -> None:
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Epoch)])
        writer.writerows(astuple(row) for row in history)
    partial.replace(path)
