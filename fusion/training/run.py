"""The epochs of a training: one step, validation, and its state on disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusion.checkpointing import Interval
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.torch_tools import load_checkpoint, mixed, write_checkpoint
from fusion.training.data import PairMemory
from fusion.training.settings import TrainSettings

STATE_FORMAT = "fuse-then-state/1"

Row = dict[str, float]
"""One epoch of the history: "epoch", "total" and other losses, "val_total", "seconds"."""


class TrainingRun:
    """The mutable half of a training: network, optimiser, history, and their state on disk."""

    def __init__(
        self,
        method: FusionMethod,
        settings: TrainSettings,
        seed: int,
        where: torch.device,
        state: Path,
        identity: dict[str, Any],
    ) -> None:
        self.method, self.settings, self.seed = method, settings, seed
        self.where, self.state, self.identity = where, state, identity
        self.history: list[Row] = []
        self.optimizer = torch.optim.Adam(
            method.parameters(), lr=settings.learning_rate, betas=(0.9, 0.999)
        )

    def epochs(
        self, data: PairMemory, val: PairMemory, on_epoch: Callable[[Row], None] | None
    ) -> None:
        """Run the epochs that are left, saving the state as often as the settings say."""
        last, interval = self.settings.epochs, Interval(self.settings.checkpoint_minutes)
        for epoch in range(len(self.history) + 1, last + 1):
            start = time.perf_counter()
            row: Row = {"epoch": epoch, **self._train_epoch(epoch, data)}
            if len(val) and (epoch % self.settings.validate_every == 0 or epoch == last):
                row["val_total"] = self._validate(val)
            row["seconds"] = time.perf_counter() - start
            self.history.append(row)
            if interval.is_over() or epoch == last:
                self.save()
            if on_epoch:
                on_epoch(row)

    def _train_epoch(self, epoch: int, data: PairMemory) -> Row:
        self.method.train()
        s = self.settings
        sums: dict[str, Tensor] = {}
        batches = data.epoch(self.seed, epoch, s.batch_size, s.crops_per_image)
        for step, batch in enumerate(batches, start=1):
            for key, value in self._step(batch, epoch, step).items():
                sums[key] = sums.get(key, torch.zeros((), device=self.where)) + value
        steps = data.steps(s.batch_size, s.crops_per_image)
        return {key: value.item() / steps for key, value in sums.items()}

    def _step(self, batch: tuple[Tensor, Tensor], epoch: int, step: int) -> dict[str, Tensor]:
        losses = self._loss(batch)
        total = losses["total"]
        if not bool(total.isfinite()):
            raise InputError(
                f"The training loss became {total.item()} in epoch {epoch}, step {step}; lower "
                f"learning_rate (now {self.settings.learning_rate}), use precision: "
                f'"fp32", or check the images.'
            )
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        self.optimizer.step()
        return {key: value.detach().float() for key, value in losses.items()}

    def _loss(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        infrared, visible = (part.to(self.where).float() / 255 for part in batch)
        with mixed(self.settings.precision, self.where):
            return self.method.loss(infrared, visible)

    @torch.no_grad()
    def _validate(self, val: PairMemory) -> float:
        self.method.eval()
        total = 0.0
        for batch in val.fixed(self.seed, self.settings.batch_size):
            total += float(self._loss(batch)["total"]) * len(batch[0])
        return total / len(val)

    def save(self) -> None:
        """Write all that a resumed run needs; the data order needs only the epoch's number."""
        cuda = self.where.type == "cuda"
        content = {
            "format": STATE_FORMAT,
            "identity": self.identity,
            "history": self.history,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.where) if cuda else None,
        }
        write_checkpoint(self.state, content)

    def resume(self) -> None:
        """Take up the state on disk, if there is any."""
        if not self.state.exists():
            return
        content = load_checkpoint(self.state)
        _check_state(self.state, content, self.identity, self.settings.epochs)
        self.method.load_state_dict(content["method"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.history = content["history"]
        torch.set_rng_state(content["rng"])
        if self.where.type == "cuda" and content["cuda_rng"] is not None:
            torch.cuda.set_rng_state(content["cuda_rng"], self.where)


def _check_state(path: Path, content: Any, identity: dict[str, Any], epochs: int) -> None:
    if not isinstance(content, dict) or content.get("format") != STATE_FORMAT:
        raise InputError(f"{path} is not a training state; delete it to start again.")
    for key, value in identity.items():
        before = content["identity"].get(key)
        if before != value:
            raise InputError(
                f"{path} was left by a training with {key} = {before}, not {value}; "
                f"use another output folder, or delete the file to start again."
            )
    if len(content["history"]) > epochs:
        raise InputError(
            f"{path} has already {len(content['history'])} epochs, more than the {epochs} asked "
            f"for; use another output folder, or delete the file to start again."
        )
