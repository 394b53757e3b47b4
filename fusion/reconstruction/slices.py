"""Training slices in memory as uint8, and the random scans of crops of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
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

    Raises InputError naming the file that cannot be read, or is smaller than the crop.
    """

    def __init__(self, paths: Sequence[Path], crop: int, samplings: Sequence[Sampling]) -> None:
        self.crop, self.samplings = crop, tuple(samplings)
        self.names = [path.stem for path in paths]
        self.images = [read_gray(path) for path in paths]
        for path, image in zip(paths, self.images, strict=True):
            _check_crop(str(path), image.shape, crop)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of every slice."""
        return [(image.shape[0], image.shape[1]) for image in self.images]

    def steps(self, batch_size: int, crops_per_image: int) -> int:
        """Return the full batches of an epoch; what does not fill one is dropped."""
        return len(self) * crops_per_image // batch_size

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


Sizes = Mapping[str, tuple[int, int]]
"""Height and width of slices by their names."""


def check_masks(sizes: Sizes, samplings: Sequence[Sampling]) -> None:
    """Raise InputError naming a slice that is too small for a mask."""
    for (height, width), name in {size: name for name, size in sizes.items()}.items():
        try:
            for sampling in samplings:
                sampling.draw(height, width, np.random.default_rng(0))
        except InputError as error:
            raise InputError(f"{name} is {width}x{height}. {error}") from error


def check_crops(
    sizes: Sizes,
    samplings: Sequence[Sampling],
    crop: int,
    batch_size: int,
    crops_per_image: int,
) -> None:
    """Raise InputError where slices cannot be trained on: their sizes, their number, or masks."""
    for name, size in sizes.items():
        _check_crop(name, size, crop)
    check_masks({"The training crop": (crop, crop)}, samplings)
    if len(sizes) * crops_per_image < batch_size:
        raise InputError(
            f"{len(sizes)} training slices x {crops_per_image} crops_per_image are fewer than one "
            f"batch of {batch_size}; raise crops_per_image or lower batch_size."
        )


def _check_crop(name: str, size: tuple[int, ...], crop: int) -> None:
    if min(size) < crop:
        raise InputError(
            f"{name} is {size[1]}x{size[0]}, smaller than the training crop of {crop}; lower "
            f"crop or leave the slice out."
        )
