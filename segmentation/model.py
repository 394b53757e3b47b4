"""The segmenters of segmentation_models_pytorch, which only this module knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import InputError, did_you_mean
from fusion.torch_tools import load_checkpoint, widened
from segmentation.dilated import use_dilated
from segmentation.settings import ARCHITECTURES

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WEIGHTS_KEYS = ("architecture", "encoder", "classes", "height", "width", "state_dict")


@dataclass(frozen=True)
class EncoderLoad:
    """How many of the encoder's tensors came from a checkpoint, and how many it has."""

    loaded: int
    total: int


def build_model(
    architecture: str,
    encoder: str,
    classes: int,
    encoder_checkpoint: Path | None,
    channels: int = 3,
) -> tuple[nn.Module, EncoderLoad]:
    """Return a segmenter of float B x channels x H x W to logits B x classes x H x W, and its load.

    H and W are multiples of 16, or of 32 (see `segmentation.settings`). The encoder starts at
    random, or from a local checkpoint whose tensors are matched by name and shape, a first layer
    for colour images being widened for four channels; nothing is ever downloaded.
    Raises InputError for unknown names and for a checkpoint of which nothing fits.
    """
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, list(ARCHITECTURES))
        raise InputError(f'The segmenter architecture "{architecture}" is not known.{hint}')
    model = _construct(architecture, encoder, classes, channels)
    use_dilated(model)
    total = len(model.encoder.state_dict())
    if encoder_checkpoint is None:
        return model, EncoderLoad(0, total)
    return model, EncoderLoad(_load_encoder(model.encoder, encoder, encoder_checkpoint), total)


def normalise(images: Tensor) -> Tensor:
    """Turn uint8 B x H x W x 3 into float B x 3 x H x W with ImageNet's mean and deviation.

    A fourth channel gets the means of both over the three.
    """
    both = ((*v, sum(v) / 3)[: images.shape[-1]] for v in (IMAGENET_MEAN, IMAGENET_STD))
    mean, std = (images.new_tensor(values, dtype=torch.float32) for values in both)
    # The permuted view is channels-last in memory, which is the layout the model runs fastest in.
    return (images.float().div(255.0) - mean).div(std).permute(0, 3, 1, 2)


def load_segmenter(weights: Path, device: str | torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model of a weights file in evaluation mode, and the file's other entries."""
    saved = read_dictionary(weights)
    lacking = [key for key in WEIGHTS_KEYS if key not in saved]
    if lacking:
        raise InputError(
            f'{weights} lacks "{lacking[0]}": it is not a segmenter written by our training; '
            f"give a weights.pt."
        )
    state = saved.pop("state_dict")
    names, channels = (saved["architecture"], saved["encoder"]), saved.get("channels", 3)
    model, _ = build_model(*names, len(saved["classes"]), None, channels)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The tensors of {weights} do not fit {saved['architecture']} with encoder "
            f"{saved['encoder']}; train it again with this version."
        ) from error
    return to_device(model, device).eval(), saved


def read_dictionary(path: Path) -> dict[str, Any]:
    """Return the dictionary that torch saved in `path`, tensors and plain values only."""
    saved = load_checkpoint(path)
    if not isinstance(saved, Mapping):
        raise InputError(f"{path} holds no dictionary of tensors; save the state_dict instead.")
    return dict(saved)


def to_device(model: nn.Module, device: str | torch.device) -> nn.Module:
    """Move a model to `device` in the channels-last layout of `normalise`."""
    # torch's type stubs lack this overload of Module.to.
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _construct(architecture: str, encoder: str, classes: int, channels: int) -> Any:
    import segmentation_models_pytorch as smp

    known = list(smp.encoders.get_encoder_names())
    if encoder not in known and not _is_timm(encoder):
        hint = did_you_mean(encoder, [*known, "tu-NAME with the name of a timm model"])
        raise InputError(f'The encoder "{encoder}" is not known.{hint}')
    try:
        with warnings.catch_warnings():
            # smp will rename its "timm-" encoders; their published weights still have these keys.
            warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
            return getattr(smp, architecture)(
                encoder_name=encoder, encoder_weights=None, in_channels=channels, classes=classes
            )
    # smp says that an encoder cannot be dilated in as many ways as there are encoders.
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f'The encoder "{encoder}" cannot be used with {architecture} ({error}); '
            f"choose another encoder."
        ) from error


def _is_timm(encoder: str) -> bool:
    import timm

    return encoder.startswith("tu-") and bool(timm.is_model(encoder.removeprefix("tu-")))


def _load_encoder(encoder: nn.Module, name: str, path: Path) -> int:
    saved, wanted = read_dictionary(path), encoder.state_dict()
    given = {
        key: widened(saved[key], tensor.shape)
        for key, tensor in wanted.items()
        if isinstance(saved.get(key), Tensor)
    }
    fits = {key: tensor for key, tensor in given.items() if tensor.shape == wanted[key].shape}
    if not fits:
        theirs, ours = (", ".join(f'"{k}"' for k in list(d)[:3]) for d in (saved, wanted))
        raise InputError(
            f"No tensor of {path} fits the encoder {name}: it holds {theirs}, the encoder wants "
            f"{ours}; give a checkpoint of this encoder."
        )
    encoder.load_state_dict(wanted | fits)
    return len(fits)
