"""Training a segmenter: the same settings for every method, exact to resume, quiet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from fusion.errors import InputError
from fusion.files import write_history
from fusion.torch_tools import (
    check_precision,
    float32_products,
    limited_threads,
    resolve_device,
    room_for,
    write_checkpoint,
)
from segmentation.model import EncoderLoad
from segmentation.run import Epoch, TrainingRun
from segmentation.samples import read_split
from segmentation.settings import SegmenterSettings


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

    `images` and `masks` are files by name, `splits` lists of such names. Every
    `checkpoint_minutes`, and at the end, an epoch leaves ``out/state.pt``; a later call with the
    same arguments continues there and, on the CPU, ends bitwise equal to an uninterrupted run.
    `on_epoch` is called once a state is safe. Raises InputError for bad data, another run's
    state in `out`, or a diverging loss.
    """
    where = resolve_device(device)
    check_precision(settings.precision, device)
    wanted = ("train", "val") if settings.select == "best" else ("train",)
    data = {s: read_split(s, images, masks, splits, len(classes), settings, out) for s in wanted}
    if len(data["train"].images) < 2:
        raise InputError('The split "train" holds one image; training needs at least two.')
    out.mkdir(parents=True, exist_ok=True)
    gpus = [where] if where.type == "cuda" else []
    batch = f"batch: {settings.batch} of {settings.width}x{settings.height} pixels"
    with (
        limited_threads(threads),
        torch.random.fork_rng(devices=gpus),
        float32_products(settings.precision),
        room_for(settings.batch, device, f"{batch}; lower batch, height or width"),
    ):
        run = TrainingRun(data, tuple(classes), settings, seed, out / "state.pt", where)
        while len(run.history) < settings.epochs:
            row = run.epoch()
            if on_epoch is not None:
                on_epoch(row)
    return _finished(run, out)


def _finished(run: TrainingRun, out: Path) -> SegmenterResult:
    """Write the chosen weights and the history."""
    s, state = run.settings, run.best or run.model.state_dict()
    about = {
        "architecture": s.architecture,
        "encoder": s.encoder,
        "classes": list(run.classes),
        "height": s.height,
        "width": s.width,
        **({} if run.channels == 3 else {"channels": run.channels}),
    }
    tensors = {key: value.cpu() for key, value in state.items()}
    write_checkpoint(out / "weights.pt", {**about, "state_dict": tensors})
    write_history(out / "history.csv", [asdict(row) for row in run.history])
    return SegmenterResult(out / "weights.pt", tuple(run.history), run.seconds, run.encoder)
