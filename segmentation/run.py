"""The epochs of a segmenter's training, and its state on disk between two of them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fusion.checkpointing import Interval
from fusion.errors import InputError
from fusion.torch_tools import mixed, write_checkpoint
from segmentation.iou import confusion_matrix, scores
from segmentation.model import build_model, normalise, read_dictionary, to_device
from segmentation.samples import (
    Samples,
    ahead,
    augmentation,
    batch_indices,
    class_weights,
    mixed_seed,
)
from segmentation.settings import SegmenterSettings, learning_rate


@dataclass(frozen=True)
class Epoch:
    """One row of the history; `val_miou` is nan when no validation takes place."""

    epoch: int
    loss: float
    learning_rate: float
    val_miou: float


class TrainingRun:
    """A training between two epochs: everything that state.pt holds, and the means to go on."""

    def __init__(
        self,
        data: Mapping[str, Samples],
        classes: tuple[str, ...],
        settings: SegmenterSettings,
        seed: int,
        state: Path,
        device: torch.device,
    ) -> None:
        self.data, self.classes, self.settings = data, classes, settings
        self.seed, self.state, self.device = seed, state, device
        torch.manual_seed(seed)
        self.channels = data["train"].images.shape[-1]
        names, start = (settings.architecture, settings.encoder), settings.encoder_checkpoint
        model, self.encoder = build_model(*names, len(classes), start, self.channels)
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
        self.interval = Interval(settings.checkpoint_minutes)
        self.identity = _identity(data, classes, settings, seed)
        if state.exists():
            self._resume(state)

    def epoch(self) -> Epoch:
        """Train one epoch, validate if asked to, and write the state if it is time."""
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
        if self.interval.is_over() or row.epoch == s.epochs:
            self._save()
        return row

    def _step(self, images: Tensor, ids: Tensor, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images, ids = images.to(self.device), ids.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with mixed(self.settings.precision, self.device):
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
            with mixed(self.settings.precision, self.device):
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
        write_checkpoint(self.state, state)

    def _resume(self, path: Path) -> None:
        state = read_dictionary(path)
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
    plain = settings.model_dump(mode="json", exclude={"checkpoint_minutes"})
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
