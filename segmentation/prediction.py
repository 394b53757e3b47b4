"""A trained segmenter on images: one palette PNG of class ids each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.errors import InputError
from fusion.pairs import Image, read_rgb, read_stack
from fusion.torch_tools import float32_products, limited_threads, resolve_device
from fusion.whole import is_whole_png
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
    members = [(weights, images)]
    return predict_together(
        members, out, palette=palette, device=device, threads=threads, on_progress=on_progress
    )


def predict_together(
    members: Sequence[tuple[Path, Mapping[str, Path]]],
    out: Path,
    *,
    palette: Palette,
    device: str = "cpu",
    threads: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Segment as `predict` does, by several networks, each of which has images of its own.

    Of several the mean of their probabilities decides; all have images of the same names.
    """
    where = resolve_device(device)
    out.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    with limited_threads(threads), float32_products(), torch.inference_mode():
        networks = [(_Segmenter(weights, where), images) for weights, images in members]
        names = list(members[0][1])
        for name in names:
            votes = [network(images[name]) for network, images in networks]
            if len(votes) > 1:
                votes = [logits.softmax(1) for logits in votes]
            ids: Image = sum(votes[1:], votes[0]).argmax(1)[0].to(torch.uint8).cpu().numpy()
            written[name] = out / f"{name}.png"
            write_mask(written[name], ids, palette)
            if on_progress is not None:
                on_progress(len(written), len(names))
    return written


class _Segmenter:
    """A trained network that reads images as it was trained on them."""

    def __init__(self, weights: Path, device: torch.device) -> None:
        self._model, about = load_segmenter(weights, device)
        self._size, self._device = (about["height"], about["width"]), device
        self._read = read_rgb if about.get("channels", 3) == 3 else read_stack

    def __call__(self, path: Path) -> Tensor:
        """Return the logits of an image, 1 x classes x H x W of its own size."""
        image = self._read(path)
        small = torch.from_numpy(resize_image(image, *self._size))[None].to(self._device)
        logits: Tensor = self._model(normalise(small))
        return F.interpolate(logits, size=image.shape[:2], mode="bilinear", align_corners=False)


def remaining(images: Mapping[str, Path], out: Path, palette: Palette) -> dict[str, Path]:
    """Return the images that have no mask ``out/NAME.png`` of their size and of known classes."""
    return {name: path for name, path in images.items() if not _is_made(out, name, path, palette)}


def _is_made(out: Path, name: str, image: Path, palette: Palette) -> bool:
    mask = out / f"{name}.png"
    if not is_whole_png(mask):
        return False
    height, width = read_rgb(image).shape[:2]
    try:
        read_mask(mask, len(palette), size=(width, height))
    except InputError:
        return False
    return True
