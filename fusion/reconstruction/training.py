"""Train the reconstruction network on slices; an interrupted run continues bit for bit (CPU)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.files import write_history
from fusion.reconstruction.cmd.loss import cmd_loss
from fusion.reconstruction.cmd.network import PRESETS, CmdNet, build
from fusion.reconstruction.masks import Sampling
from fusion.reconstruction.settings import ReconstructionTraining
from fusion.reconstruction.simulation import normalised
from fusion.reconstruction.slices import SliceMemory, check_crops
from fusion.torch_tools import (
    check_precision,
    float32_products,
    limited_threads,
    load_checkpoint,
    resolve_device,
    room_for,
    write_checkpoint,
)
from fusion.training.run import Row, TrainingRun, own_randomness

FORMAT = "fuse-then-reconstruction/1"


def train_cmd(
    train_slices: Sequence[Path],
    val_slices: Sequence[Path],
    samplings: Sequence[Sampling],
    settings: ReconstructionTraining,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> tuple[Row, ...]:
    """Train with Adam on scans of random crops; return the history, one row an epoch.

    `out` receives weights.pt and history.csv at the end, and state.pt every `checkpoint_minutes`,
    from which an interrupted training goes on: on the CPU to the very weights of an uninterrupted
    one. Raises InputError for wrong slices or states, and when the loss is not finite.
    """
    where = resolve_device(device)
    check_precision(settings.precision, device)
    data, val = (SliceMemory(p, settings.crop, samplings) for p in (train_slices, val_slices))
    sizes = dict(zip(data.names, data.sizes, strict=True))
    crops = settings.model_dump(include={"crop", "batch_size", "crops_per_image"})
    check_crops(sizes, samplings, **crops)
    identity = _identity(settings, samplings, seed, data, val)
    batch = f"batch_size: {settings.batch_size} with crop: {settings.crop}; lower one of them"
    with (
        limited_threads(threads),
        own_randomness(where),
        float32_products(settings.precision),
        room_for(settings.batch_size, device, batch),
    ):
        torch.manual_seed(seed)
        network = build(settings.preset).to(where)
        run = TrainingRun(
            network, losses(network), settings, seed, where, out / "state.pt", identity
        )
        run.resume()
        run.epochs(data, val, on_epoch)
        save_network(out / "weights.pt", settings.preset, network)
        write_history(out / "history.csv", run.history)
    return tuple(run.history)


def losses(network: CmdNet) -> Callable[[tuple[Tensor, ...]], dict[str, Tensor]]:
    """Return what computes the losses of a batch of scans."""

    def of(scans: tuple[Tensor, ...]) -> dict[str, Tensor]:
        slices, noise, mask = scans
        acquired = normalised(slices, noise, mask)
        return cmd_loss(network(acquired.measured), acquired.target)

    return of


def _identity(
    settings: ReconstructionTraining,
    samplings: Sequence[Sampling],
    seed: int,
    data: SliceMemory,
    val: SliceMemory,
) -> dict[str, Any]:
    """Return what must be equal for a state to be continued; more epochs may be asked for."""
    same = settings.model_dump(exclude={"epochs", "checkpoint_minutes"})
    images = {"training slices": data.digest(), "validation slices": val.digest()}
    drawn = {"samplings": [asdict(sampling) for sampling in samplings]}
    return {"network": "cmd", **same, **drawn, "seed": seed, **images}


def save_network(path: Path, preset: str, network: CmdNet) -> None:
    """Write a network's weights to `path`, atomically."""
    weights = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    write_checkpoint(path, {"format": FORMAT, "preset": preset, "state_dict": weights})


def load_network(path: Path, device: str = "cpu") -> CmdNet:
    """Return a trained network; InputError for a file that is none of `save_network`'s."""
    content = load_checkpoint(path)
    known = isinstance(content, Mapping) and content.get("format") == FORMAT
    if not known or content.get("preset") not in PRESETS:
        raise InputError(f"{path} holds no reconstruction network; train one again.")
    network = build(content["preset"])
    network.load_state_dict(content["state_dict"])
    return network.to(resolve_device(device)).eval()
