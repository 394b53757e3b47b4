"""The epochs of a training: one step, validation, and its state on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fusion.checkpointing import Interval
from fusion.errors import InputError
from fusion.torch_tools import load_checkpoint, mixed, write_checkpoint
from fusion.training.settings import PretrainSettings, TrainSettings

STATE_FORMAT = "fuse-then-state/1"

Row = dict[str, float]
"""One epoch of the history: "epoch", "total" and other losses, "val_total", "seconds"."""

Batch = tuple[Tensor, ...]
"""What a loss is computed of: tensors whose first axis counts images."""

Losses = Callable[[Batch], dict[str, Tensor]]
"""Returns the losses of a batch, "total" among them."""


class Batches(Protocol):
    """Training images as `TrainingRun` takes them: `fusion.training.data.PairMemory` is one."""

    def __len__(self) -> int: ...

    def steps(self, batch_size: int, crops_per_image: int, /) -> int:
        """Return the batches of an epoch."""

    def epoch(
        self, seed: int, epoch: int, batch_size: int, crops_per_image: int, /
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch."""

    def fixed(self, seed: int, batch_size: int, /) -> Iterator[Batch]:
        """Yield what is validated on."""


class TrainingRun:
    """The mutable half of a training: network, optimiser, history, and their state on disk.

    A part of the network that is held `fixed` neither learns nor leaves evaluation mode.
    """

    def __init__(
        self,
        method: nn.Module,
        losses: Losses,
        settings: TrainSettings,
        seed: int,
        where: torch.device,
        state: Path,
        identity: dict[str, Any],
        fixed: nn.Module | None = None,
    ) -> None:
        self.method, self.losses, self.settings, self.seed = method, losses, settings, seed
        self.where, self.state, self.identity = where, state, identity
        self.history: list[Row] = []
        self.fixed = fixed.requires_grad_(False) if fixed is not None else None
        self.optimizer = _optimizer(method, settings)

    def epochs(self, data: Batches, val: Batches, on_epoch: Callable[[Row], None] | None) -> None:
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

    def _train_epoch(self, epoch: int, data: Batches) -> Row:
        self.method.train()
        if self.fixed is not None:
            self.fixed.eval()
        s = self.settings
        sums: dict[str, Tensor] = {}
        batches = data.epoch(self.seed, epoch, s.batch_size, s.crops_per_image)
        for step, batch in enumerate(batches, start=1):
            for key, value in self._step(batch, epoch, step).items():
                sums[key] = sums.get(key, torch.zeros((), device=self.where)) + value
        steps = data.steps(s.batch_size, s.crops_per_image)
        return {key: value.item() / steps for key, value in sums.items()}

    def _step(self, batch: Batch, epoch: int, step: int) -> dict[str, Tensor]:
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

    def _loss(self, batch: Batch) -> dict[str, Tensor]:
        here = tuple(part.to(self.where) for part in batch)
        with mixed(self.settings.precision, self.where):
            return self.losses(here)

    @torch.no_grad()
    def _validate(self, val: Batches) -> float:
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


def _optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    parameters = [one for one in network.parameters() if one.requires_grad]
    rate, betas = settings.learning_rate, (0.9, 0.999)
    if isinstance(settings, PretrainSettings):
        decay = settings.weight_decay
        return torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay)
    return torch.optim.Adam(parameters, lr=rate, betas=betas)


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


def own_randomness(where: torch.device) -> AbstractContextManager[None]:
    """Give back the caller's random state afterwards."""
    return torch.random.fork_rng(devices=[where.index or 0] if where.type == "cuda" else [])
