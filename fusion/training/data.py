"""Training pairs in memory as uint8, and the random crops that make an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import InputError
from fusion.pairs import Image, ImagePair, check_same_size, read_gray

Batch = tuple[Tensor, Tensor]
"""Infrared and visible crops, uint8 B x 1 x S x S."""


class PairMemory:
    """The luminances of all pairs, decoded once.

    Raises InputError naming the file that cannot be read, or is smaller than the crop.
    """

    def __init__(self, pairs: Sequence[ImagePair], crop: int) -> None:
        self.crop = crop
        self.names = [pair.name for pair in pairs]
        self.images = [_read(pair, crop) for pair in pairs]

    def __len__(self) -> int:
        return len(self.images)

    def steps(self, batch_size: int, crops_per_image: int) -> int:
        """Return the full batches of an epoch; what does not fill one is dropped."""
        return len(self) * crops_per_image // batch_size

    def check_epoch(self, batch_size: int, crops_per_image: int) -> None:
        """Raise InputError when an epoch has not one full batch."""
        if self.steps(batch_size, crops_per_image) < 1:
            raise InputError(
                f"{len(self)} training pairs x {crops_per_image} crops_per_image are fewer than "
                f"one batch of {batch_size}; raise crops_per_image or lower batch_size."
            )

    def epoch(
        self, seed: int, epoch: int, batch_size: int, crops_per_image: int
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch, a function of `seed` and `epoch` alone.

        Both images of a pair get the same crop and the same flips (each p = 0.5).
        """
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(np.repeat(np.arange(len(self)), crops_per_image))
        for step in range(self.steps(batch_size, crops_per_image)):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            yield _stack([self._random_crop(i, rng, flips=True) for i in chosen])

    def fixed(self, seed: int, batch_size: int) -> Iterator[Batch]:
        """Yield one crop of every pair, unflipped and the same at every call; none is dropped."""
        rng = np.random.default_rng((seed, 0))  # training epochs count from 1
        crops = [self._random_crop(i, rng, flips=False) for i in range(len(self))]
        for start in range(0, len(crops), batch_size):
            yield _stack(crops[start : start + batch_size])

    def middles(self, window: int) -> list[tuple[str, Image, Image]]:
        """Return name, infrared and visible middle of every pair, at most `window` square."""
        found = []
        for name, image in zip(self.names, self.images, strict=True):
            height, width = (min(window, side) for side in image.shape[1:])
            top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
            part = image[:, top : top + height, left : left + width]
            found.append((name, part[0], part[1]))
        return found

    def digest(self) -> str:
        """Return a digest of all names and pixels, in order."""
        digest = hashlib.blake2b(digest_size=8)
        for name, image in zip(self.names, self.images, strict=True):
            digest.update(f"{name} {image.shape}\n".encode())
            digest.update(image.data)
        return digest.hexdigest()

    def _random_crop(self, index: int, rng: np.random.Generator, flips: bool) -> Image:
        image = self.images[index]
        top = rng.integers(image.shape[1] - self.crop + 1)
        left = rng.integers(image.shape[2] - self.crop + 1)
        part: Image = image[:, top : top + self.crop, left : left + self.crop]
        if flips and rng.random() < 0.5:
            part = part[:, :, ::-1]
        if flips and rng.random() < 0.5:
            part = part[:, ::-1]
        return part


def _read(pair: ImagePair, crop: int) -> NDArray[np.uint8]:
    """Return infrared and visible luminance, 2 x H x W."""
    infrared, visible = read_gray(pair.infrared), read_gray(pair.visible)
    check_same_size(pair, infrared, visible)
    height, width = infrared.shape
    if min(height, width) < crop:
        raise InputError(
            f"{pair.infrared} is {width}x{height}, smaller than the training crop of {crop}; "
            f"lower crop or leave the pair out."
        )
    return np.stack([infrared, visible])


def _stack(crops: Sequence[Image]) -> Batch:
    both = torch.from_numpy(np.stack(crops))
    return both[:, 0:1], both[:, 1:2]
