"""A detector's weights on disk: ours, written and read back, and foreign ones to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detection.settings import MODELS
from detection.yolo.ultralytics import build_network, pickled_classes
from fusion.errors import InputError, did_you_mean
from fusion.torch_tools import load_checkpoint, widened, write_checkpoint


def write_weights(path: Path, model: str, classes: Sequence[str], state: dict[str, Tensor]) -> Path:
    """Write a trained detector as a plain dictionary, for `load_network`."""
    write_checkpoint(path, {"model": model, "classes": list(classes), "state_dict": state})
    return path


def load_network(weights: Path, classes: Sequence[str]) -> Any:
    """Return the trained detector; InputError when it is not ours or of other classes."""
    content = _load(weights)
    parts = {"model": str, "classes": list, "state_dict": dict}
    if not isinstance(content, dict) or any(
        not isinstance(content.get(key), kind) for key, kind in parts.items()
    ):
        raise InputError(f"{weights} was not written by this package's training; train first.")
    if list(content["classes"]) != list(classes):
        raise InputError(
            f"{weights} was trained for {', '.join(map(str, content['classes']))}, not for "
            f"{', '.join(classes)}; predict with the same classes in the same order."
        )
    if content["model"] not in MODELS:
        hint = did_you_mean(str(content["model"]), list(MODELS))
        raise InputError(f'{weights} is of the detector "{content["model"]}", not known.{hint}')
    first = next(iter(content["state_dict"].values()), None)  # a convolution
    shape = tuple(first.shape) if isinstance(first, Tensor) else ()
    network = build_network(content["model"], len(classes), 4 if shape[1:2] == (4,) else 3)
    try:
        network.load_state_dict(content["state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"{weights} does not hold the weights of a {content['model']}; train it again."
        ) from error
    return network


def matching_layers(model: str, classes: int, channels: int, checkpoint: Path) -> int:
    """Return how many tensors of a detector `checkpoint` would fill; prints nothing.

    Raises InputError when there is none, so that a wrong file is found before any training.
    """
    return fill(build_network(model, classes, channels), checkpoint)


def fill(network: Any, checkpoint: Path) -> int:
    """Copy every tensor of equal key and shape into `network`; return how many there were.

    A first layer for colour images is widened where the network sees four channels. Raises
    InputError when nothing fits.
    """
    ours = network.state_dict()
    theirs = {
        k: widened(v, ours[k].shape if k in ours else ())
        for k, v in read_checkpoint(checkpoint).items()
    }
    common = {k: v for k, v in theirs.items() if k in ours and ours[k].shape == v.shape}
    if not common:
        first, second = (", ".join(list(side)[:3]) for side in (theirs, ours))
        raise InputError(
            f"{checkpoint} is a checkpoint of another network: it holds {first}, ..., but the "
            f"detector needs {second}, ...; give a checkpoint of the same model."
        )
    network.load_state_dict(common, strict=False)
    return len(common)


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the floating-point tensors by key of a checkpoint, without running its pickle code.

    Reads a plain state dict, one nested under "state_dict", and ultralytics' own files, of which
    only the building blocks of our detectors are allowed. Raises InputError for anything else.
    """
    content = _load(path)
    if isinstance(content, dict):
        for key in ("state_dict", "ema", "model"):
            if content.get(key) is not None:
                content = content[key]
                break
    if isinstance(content, torch.nn.Module):
        content = _state_of(path, content)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no state dict; give a checkpoint of a detector.")
    tensors = {
        str(k): v.float()
        for k, v in content.items()
        if isinstance(v, Tensor) and not v.is_complex()
    }
    if not tensors:
        raise InputError(f"{path} holds no tensors; give a checkpoint of a detector.")
    return tensors


def _state_of(path: Path, network: torch.nn.Module) -> dict[str, Tensor]:
    try:
        return network.state_dict()
    except Exception as error:  # made up: attributes that are missing, or of other kinds
        raise InputError(f"{path} holds a network that is none; fetch it again.") from error


def _load(path: Path) -> Any:
    """Load a file of plain tensors, or else one of ultralytics' own format."""
    try:
        return load_checkpoint(path)
    except InputError:
        if not path.is_file():
            raise
    try:
        with torch.serialization.safe_globals(pickled_classes()):
            return load_checkpoint(path)
    except InputError as error:
        raise InputError(
            f"{path} is neither a plain state dict nor a detector's file of ultralytics, and files "
            f"that could run code are not loaded; save its state_dict() and give that."
        ) from error
