"""DeepLabV3 and DeepLabV3+ from segmentation_models_pytorch: built, saved, loaded, applied."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.errors import InputError, did_you_mean
from fusion.pairs import Image, read_rgb
from segmentation.datasets import Palette, resize_image, write_mask
from segmentation.dilated import use_dilated
from segmentation.settings import ARCHITECTURES

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BAD_FILE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError),
    pickle.UnpicklingError,
)
WEIGHTS_KEYS = ("architecture", "encoder", "classes", "height", "width", "state_dict")


@dataclass(frozen=True)
class EncoderLoad:
    """How many of the encoder's tensors came from a checkpoint, and how many it has."""

    loaded: int
    total: int


def build_model(
    architecture: str, encoder: str, classes: int, encoder_checkpoint: Path | None
) -> tuple[nn.Module, EncoderLoad]:
    """Return a segmenter of float B x 3 x H x W to logits B x classes x H x W, and its load.

    H and W are multiples of 16. The encoder starts at random, or from a local checkpoint whose
    tensors are matched by name and shape; nothing is ever downloaded.
    Raises InputError for unknown names and for a checkpoint of which nothing fits.
    """
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, list(ARCHITECTURES))
        raise InputError(f'The segmenter architecture "{architecture}" is not known.{hint}')
    model = _construct(architecture, encoder, classes)
    use_dilated(model)
    total = len(model.encoder.state_dict())
    if encoder_checkpoint is None:
        return model, EncoderLoad(0, total)
    return model, EncoderLoad(_load_encoder(model.encoder, encoder, encoder_checkpoint), total)


def normalise(images: Tensor) -> Tensor:
    """Turn uint8 B x H x W x 3 into float B x 3 x H x W with ImageNet's mean and deviation."""
    mean, std = (images.new_tensor(v, dtype=torch.float32) for v in (IMAGENET_MEAN, IMAGENET_STD))
    # The permuted view is channels-last in memory, which is the layout the model runs fastest in.
    return (images.float().div(255.0) - mean).div(std).permute(0, 3, 1, 2)


def predict(
    weights: Path,
    images: Mapping[str, Path],
    out: Path,
    *,
    palette: Palette,
    device: str = "cpu",
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Segment images by name into palette PNGs ``out/NAME.png`` of each image's own size.

    The image is resized to the trained size, the logits are upsampled bilinearly, then argmax.
    `on_progress` is called with (done, total). Raises InputError for bad weights or images.
    """
    check_device(device)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    with limited_threads(threads), torch.inference_mode():
        model, about = load_segmenter(weights, device)
        for name, path in images.items():
            ids = _segment(model, read_rgb(path), about["height"], about["width"], device)
            written[name] = out / f"{name}.png"
            write_mask(written[name], ids, palette)
            if on_progress is not None:
                on_progress(len(written), len(images))
    return written


def load_segmenter(weights: Path, device: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model of a weights file in evaluation mode, and the file's other entries."""
    saved = load_file(weights)
    lacking = [key for key in WEIGHTS_KEYS if key not in saved]
    if lacking:
        raise InputError(
            f'{weights} lacks "{lacking[0]}": it is not a segmenter written by our training; '
            f"give a weights.pt."
        )
    state = saved.pop("state_dict")
    model, _ = build_model(saved["architecture"], saved["encoder"], len(saved["classes"]), None)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"The tensors of {weights} do not fit {saved['architecture']} with encoder "
            f"{saved['encoder']}; train it again with this version."
        ) from error
    return to_device(model, device).eval(), saved


def load_file(path: Path) -> dict[str, Any]:
    """Return the dictionary that torch saved in `path`, tensors and plain values only."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"The checkpoint {path} does not exist; check the path.") from error
    # What torch.load raises for a file that is no checkpoint depends on the file's first bytes.
    except BAD_FILE as error:
        raise InputError(f"{path} cannot be read as a checkpoint; replace the file.") from error
    if not isinstance(saved, Mapping):
        raise InputError(f"{path} holds no dictionary of tensors; save the state_dict instead.")
    return dict(saved)


def save_file(path: Path, payload: Mapping[str, Any]) -> None:
    """Write a dictionary of tensors and plain values with torch, atomically."""
    partial = path.with_name(path.name + ".part")
    torch.save(dict(payload), partial)
    partial.replace(path)


def to_device(model: nn.Module, device: str) -> nn.Module:
    """Move a model to `device` in the channels-last layout of `normalise`."""
    # torch's type stubs lack this overload of Module.to.
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def check_device(device: str) -> None:
    """Raise InputError unless torch can compute on `device` ("cpu", "cuda", "cuda:1", ...)."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f'The device "{device}" cannot be used for segmentation; choose "cpu" or an '
            f'available one such as "cuda:0".'
        ) from error


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch compute with `threads` CPU threads, and give back the former number."""
    if threads < 1:
        raise InputError(f"threads is {threads} but must be at least 1.")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _construct(architecture: str, encoder: str, classes: int) -> Any:
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
                encoder_name=encoder, encoder_weights=None, in_channels=3, classes=classes
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
    saved = load_file(path)
    wanted = encoder.state_dict()
    fits = {
        key: saved[key]
        for key, tensor in wanted.items()
        if isinstance(saved.get(key), Tensor) and saved[key].shape == tensor.shape
    }
    if not fits:
        theirs, ours = (", ".join(f'"{k}"' for k in list(d)[:3]) for d in (saved, wanted))
        raise InputError(
            f"No tensor of {path} fits the encoder {name}: it holds {theirs}, the encoder wants "
            f"{ours}; give a checkpoint of this encoder."
        )
    encoder.load_state_dict(wanted | fits)
    return len(fits)


def _segment(model: nn.Module, rgb: Image, height: int, width: int, device: str) -> Image:
    small = torch.from_numpy(resize_image(rgb, height, width))[None].to(device)
    logits = F.interpolate(
        model(normalise(small)), size=rgb.shape[:2], mode="bilinear", align_corners=False
    )
    ids: Image = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return ids
