"""A training of the detector between two epochs: all of its state, written down and taken up.

ultralytics resumes from half-precision weights, with new lots and a new order of the images. Here
everything that decides what follows is kept, so that a resumed training ends equal to the bit
wherever two trainings do.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detection.settings import DetectorSettings
from detection.yolo.draws import draws_of, restore_draws
from fusion.checkpointing import Interval
from fusion.errors import InputError
from fusion.torch_tools import load_checkpoint, write_checkpoint

STATE_FORMAT = "fuse-then-detector-state/1"
IDLE = {"checkpoint_minutes", "loader_processes", "cache"}
"""Settings that change no result."""
SEEN = ("train", "val")
"""The splits that a training looks at."""


def identity_of(data: Path, settings: DetectorSettings, seed: int) -> str:
    """Return a digest of all that decides the outcome; `data` is an exported data.yaml."""
    plain = settings.model_dump(mode="json", exclude=IDLE)
    if settings.initial_checkpoint is not None:
        # What the checkpoint holds matters, not where it lies.
        plain["initial_checkpoint"] = _digest(settings.initial_checkpoint)
    folders = [data.parent / kind / split for kind in ("images", "labels") for split in SEEN]
    files = sorted(path for folder in folders for path in folder.glob("*"))
    content = [(path.relative_to(data.parent).as_posix(), _digest(path)) for path in files]
    return hashlib.sha256(json.dumps([plain, seed, content]).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Steps:
    """Takes the optimiser's steps in the place of ultralytics' loop, whose count nobody can set.

    Gradients are accumulated over the ends of epochs: a step is due `accumulate` batches after the
    last one, and a resumed loop would not know which that was.
    """

    def __init__(self, trainer: Any) -> None:
        self.last, self._batch = -1, -1
        self._step: Callable[[], None] = trainer.optimizer_step
        trainer.optimizer_step = lambda: None
        trainer.add_callback("on_train_epoch_start", self._begin)
        trainer.add_callback("on_train_batch_end", self._end_batch)

    def _begin(self, trainer: Any) -> None:
        self._batch = len(trainer.train_loader) * trainer.epoch

    def _end_batch(self, trainer: Any) -> None:
        if self._batch - self.last >= trainer.accumulate:
            self._step()
            self.last = self._batch
        self._batch += 1


class Keeper:
    """Writes the state at the ends of epochs, and starts a training from one."""

    def __init__(self, path: Path, identity: str, settings: DetectorSettings) -> None:
        self._path, self._identity, self._settings = path, identity, settings
        self._interval = Interval(settings.checkpoint_minutes)
        self._started = time.monotonic()
        self.spent = 0.0

    def read(self) -> dict[str, Any] | None:
        """Return the state on disk if there is one; InputError for another training's."""
        if not self._path.exists():
            return None
        state = load_checkpoint(self._path)
        if not isinstance(state, dict) or state.get("format") != STATE_FORMAT:
            raise InputError(f"{self._path} is not a detector's training state; delete it.")
        if state["identity"] != self._identity:
            raise InputError(
                f"{self._path} belongs to a training with other settings, seed, images or boxes; "
                f"remove it or choose another folder."
            )
        return state

    def attach(self, trainer: Any, recorder: Any, state: dict[str, Any] | None) -> None:
        """Let `trainer` go on from `state`, and write one whenever it is time.

        `recorder` has the attributes history, state and best.
        """
        steps = Steps(trainer)
        if state is not None:
            self._take_up(trainer, recorder, steps, state)

        def keep(trainer: Any) -> None:
            if self._interval.is_over() or trainer.epoch + 1 == self._settings.epochs:
                write_checkpoint(self._path, self._state(trainer, recorder, steps))

        trainer.add_callback("on_fit_epoch_end", keep)

    @property
    def seconds(self) -> float:
        """How long the training has taken until now, earlier runs included up to their states."""
        return self.spent + time.monotonic() - self._started

    def _state(self, trainer: Any, recorder: Any, steps: Steps) -> dict[str, Any]:
        gradients = {
            name: value.grad
            for name, value in trainer.model.named_parameters()
            if value.grad is not None
        }
        return {
            "format": STATE_FORMAT,
            "identity": self._identity,
            "seconds": self.seconds,
            "history": recorder.history,
            "kept": recorder.state,
            "best": float(recorder.best),
            "results": trainer.csv.read_text(encoding="utf-8"),
            "model": trainer.model.state_dict(),
            "gradients": gradients,
            "last_step": steps.last,
            "average": trainer.ema.ema.state_dict(),
            "averaged": trainer.ema.updates,
            "optimizer": trainer.optimizer.state_dict(),
            "scaler": trainer.scaler.state_dict(),
            "draws": draws_of(trainer),
        }

    def _take_up(self, trainer: Any, recorder: Any, steps: Steps, state: dict[str, Any]) -> None:
        done = len(state["history"])
        self.spent = state["seconds"]
        recorder.history, recorder.state = state["history"], state["kept"]
        recorder.best = state["best"]
        trainer.csv.write_text(state["results"], encoding="utf-8")
        trainer.start_epoch = done

        def begin(trainer: Any) -> None:
            if trainer.epoch != done:
                return
            trainer.start_epoch = 0  # a loss that is not finite ends a training, as it would have
            trainer.train_time_start -= state["seconds"]
            steps.last = state["last_step"]
            _restore_network(trainer, state)
            restore_draws(trainer, state["draws"], done)

        trainer.add_callback("on_train_epoch_start", begin)


def _restore_network(trainer: Any, state: dict[str, Any]) -> None:
    trainer.model.load_state_dict(state["model"])
    for name, value in trainer.model.named_parameters():
        gradient = state["gradients"].get(name)
        value.grad = None if gradient is None else gradient.to(value.device)
    trainer.ema.ema.load_state_dict(state["average"])
    trainer.ema.updates = state["averaged"]
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
