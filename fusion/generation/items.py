"""One pair of a folder on its way: decoded, then written as a PNG file."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import (
    Image,
    ImagePair,
    check_same_size,
    from_ycrcb,
    is_gray,
    luminance,
    read_image,
    split_luminance,
    stack,
    write_png,
)

Color = Literal["visible", "infrared"]


@dataclass(frozen=True)
class Item:
    """A decoded pair: luminances H x W, the YCrCb to colour with or None, or a finished image."""

    name: str
    infrared: Image
    visible: Image
    ycrcb: Image | None
    ready: Image | None

    @property
    def kind(self) -> Hashable:
        """What items of one batch have in common."""
        return self.infrared.shape, self.ready is None


def decode(method: FusionMethod, color: Color, pair: ImagePair) -> Item:
    """Return the pair's images as `method` needs them, to be coloured like its `color` image.

    Raises InputError for an image that cannot be read, or of another size than its partner.
    """
    infrared, visible = read_image(pair.infrared), read_image(pair.visible)
    check_same_size(pair, infrared, visible)
    ready = _ready(method, pair, infrared, visible)
    (first, first_ycrcb), (second, second_ycrcb) = map(split_luminance, (infrared, visible))
    ycrcb = second_ycrcb if color == "visible" else first_ycrcb
    return Item(pair.name, first, second, ycrcb, ready)


def _ready(method: FusionMethod, pair: ImagePair, infrared: Image, visible: Image) -> Image | None:
    """Return the finished image of a method that computes none, else None."""
    if method.source == "infrared":
        return luminance(infrared)
    if method.source == "visible":
        return luminance(visible) if is_gray(visible) else visible
    if method.source == "both":
        return stack(infrared, visible)
    ready = method.ready_image(pair.name)
    if ready is not None and ready.shape[:2] != visible.shape[:2]:
        given, size = (f"{i.shape[1]}x{i.shape[0]}" for i in (ready, visible))
        raise InputError(
            f'The fused image of "{pair.name}" is {given} but its pair ({pair.visible}) is {size}; '
            f"fuse it again at the pair's size."
        )
    return ready


def write(out: Path, item: Item, image: Image, gray: bool) -> None:
    """Write the fused luminance, or the finished image, of `item` as ``out/NAME.png``.

    It is coloured with what the item holds unless `gray` is set. Raises InputError when the disk
    refuses.
    """
    if item.ready is None and item.ycrcb is not None and not gray:
        image = from_ycrcb(image, item.ycrcb)
    if gray and image.shape[2:] != (4,):
        image = luminance(image)
    path = out / f"{item.name}.png"
    try:
        write_png(path, image)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); check the disk.") from error
