"""A trained segmenter on images: one palette PNG of class ids each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from fusion.errors import InputError
from fusion.pairs import Image, read_rgb, read_stack
from fusion.torch_tools import float32_products, limited_threads, resolve_device
from segmentation.datasets import Palette, read_mask, resize_image, write_mask
from segmentation.model import load_segmenter, normalise


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
    where = resolve_device(device)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    with limited_threads(threads), float32_products(), torch.inference_mode():
        model, about = load_segmenter(weights, where)
        read = read_rgb if about.get("channels", 3) == 3 else read_stack
        for name, path in images.items():
            ids = _segment(model, read(path), about["height"], about["width"], where)
            written[name] = out / f"{name}.png"
            write_mask(written[name], ids, palette)
            if on_progress is not None:
                on_progress(len(written), len(images))
    return written


def remaining(images: Mapping[str, Path], out: Path, palette: Palette) -> dict[str, Path]:
    """Return the images that have no mask ``out/NAME.png`` of their size and of known classes."""
    return {name: path for name, path in images.items() if not _is_made(out, name, path, palette)}


def _is_made(out: Path, name: str, image: Path, palette: Palette) -> bool:
    mask = out / f"{name}.png"
    if not mask.is_file():
        return False
    height, width = read_rgb(image).shape[:2]
    try:
        read_mask(mask, len(palette), size=(width, height))
    except InputError:
        return False
    return True


def _segment(model: nn.Module, rgb: Image, height: int, width: int, device: torch.device) -> Image:
    small = torch.from_numpy(resize_image(rgb, height, width))[None].to(device)
    logits = F.interpolate(
        model(normalise(small)), size=rgb.shape[:2], mode="bilinear", align_corners=False
    )
    ids: Image = logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
    return ids
