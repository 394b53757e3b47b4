"""What networks need around them: a size that they can take, and a range stretched to [0, 1]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pad_to(images: Tensor, multiple: int = 1, least: int = 1) -> Tensor:
    """Extend B x C x H x W right and bottom to multiples of `multiple`, at least `least`.

    By reflection where the image is large enough, else by repeating its border; the caller crops
    the result back to H x W. Images that fit already are returned as they are.
    """
    for axis in (3, 2):
        size = images.shape[axis]
        missing = max(least, -(-size // multiple) * multiple) - size
        if missing:
            pad = (0, missing, 0, 0) if axis == 3 else (0, 0, 0, missing)
            mode = "reflect" if missing < size else "replicate"
            images = functional.pad(images, pad, mode=mode)
    return images


def stretch(images: Tensor, epsilon: float = 0.0) -> Tensor:
    """Map each image of a B x C x H x W batch linearly from its own minimum and maximum to [0, 1].

    (x - min) / (max - min + `epsilon`); a constant image becomes 0.
    """
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    span = images.amax(dim=(1, 2, 3), keepdim=True) - low + epsilon
    return (images - low) / span.masked_fill(span == 0, 1)
