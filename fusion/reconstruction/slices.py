"""Training slices in memory as uint8, and the random scans of crops of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.pairs import Image, read_gray
from fusion.reconstruction.masks import Sampling
from fusion.reconstruction.simulation import scan

Scans = tuple[Tensor, ...]
"""Slices and noise, complex64, and masks, float32: each B x S x S."""


class SliceMemory:
    """Slices, decoded once, and their scans at one of several `samplings`, drawn by lot.

    Raises InputError naming the file that cannot be read, or is smaller than the crop, and for a
    mask that is larger than the crop.
    """

    def __init__(self, paths: Sequence[Path], crop: int, samplings: Sequence[Sampling]) -> None:
        self.crop, self.samplings = crop, tuple(samplings)
        self.names = [path.stem for path in paths]
        self.images = [_read(path, crop) for path in paths]
        for sampling in samplings:
            sampling.draw(crop, crop, np.random.default_rng(0))

    def __len__(self) -> int:
        return len(self.images)

    def steps(self, batch_size: int, crops_per_image: int) -> int:
        """Return the full batches of an epoch; what does not fill one is dropped."""
        return len(self) * crops_per_image // batch_size

    def check_epoch(self, batch_size: int, crops_per_image: int) -> None:
        """Raise InputError when an epoch has not one full batch."""
        if self.steps(batch_size, crops_per_image) < 1:
            raise InputError(
                f"{len(self)} training slices x {crops_per_image} crops_per_image are fewer than "
                f"one batch of {batch_size}; raise crops_per_image or lower batch_size."
            )

    def epoch(
        self, seed: int, epoch: int, batch_size: int, crops_per_image: int
    ) -> Iterator[Scans]:
        """Yield the batches of one epoch, a function of `seed` and `epoch` alone."""
        lots = np.random.default_rng((seed, epoch))
        order = lots.permutation(np.repeat(np.arange(len(self)), crops_per_image))
        for step in range(self.steps(batch_size, crops_per_image)):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            yield self._scans([int(i) for i in chosen], lots)

    def fixed(self, seed: int, batch_size: int) -> Iterator[Scans]:
        """Yield one scan of every slice, the same at every call; none is dropped."""
        lots = np.random.default_rng((seed, 0))  # training epochs count from 1
        for start in range(0, len(self), batch_size):
            yield self._scans(range(start, min(start + batch_size, len(self))), lots)

    def digest(self) -> str:
        """Return a digest of all names and pixels, in order."""
        digest = hashlib.blake2b(digest_size=8)
        for name, image in zip(self.names, self.images, strict=True):
            digest.update(f"{name} {image.shape}\n".encode())
            digest.update(image.data)
        return digest.hexdigest()

    def _scans(self, chosen: Sequence[int], lots: np.random.Generator) -> Scans:
        drawn = []
        for index in chosen:
            image = self._crop(self.images[index], lots)
            sampling = self.samplings[int(lots.integers(len(self.samplings)))]
            drawn.append(scan(image, sampling, lots))
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))

    def _crop(self, image: Image, lots: np.random.Generator) -> Image:
        top, left = (int(lots.integers(side - self.crop + 1)) for side in image.shape)
        part: Image = image[top : top + self.crop, left : left + self.crop]
        return part[:, ::-1] if lots.integers(2) else part


def _read(path: Path, crop: int) -> Image:
    image = read_gray(path)
    height, width = image.shape
    if min(height, width) < crop:
        raise InputError(
            f"{path} is {width}x{height}, smaller than the training crop of {crop}; lower crop or "
            f"leave the slice out."
        )
    return image
