"""How training images reach the detector: kept decoded, and augmented by lots of their own.

Datasets and loaders are ultralytics', of which nothing is imported here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
import torch
from torch.utils.data import Sampler

from fusion.pairs import Image

Place = tuple[int, int]
"""An epoch, and an image's number."""
Size = tuple[int, int]
SHARE = 0.5
"""Of the free memory that decoded images may fill."""


class EpochSampler(Sampler[Place]):
    """Every image once an epoch, in an order that is a function of seed and epoch alone.

    The epoch travels with an image's number: loader processes are ahead of the training.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Place]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return ((epoch, int(number)) for number in order)


def keep_decoded(dataset: Any, cache: str, threads: int) -> None:
    """Decode all images of a dataset now, unless "auto" finds that they would fill the memory."""
    theirs, augment, count = dataset.load_image, dataset.augment, dataset.ni
    dataset.augment = False  # what is decoded now is no mosaic's yet
    try:
        sample = range(0, count, max(1, count // 8))
        need = sum(theirs(i)[0].nbytes for i in sample) / len(sample) * count
        if cache == "auto" and need > SHARE * psutil.virtual_memory().available:
            return
        with ThreadPoolExecutor(threads) as pool:
            kept: list[tuple[Image, Size]] = [made[:2] for made in pool.map(theirs, range(count))]
    finally:
        dataset.augment = augment

    def load_image(i: int) -> tuple[Image, Size, Size]:
        if dataset.ims[i] is not None:
            found: tuple[Image, Size, Size] = theirs(i)
            return found
        image, size = kept[i][0].copy(), kept[i][1]  # what follows may write into the image
        height, width = image.shape[:2]
        if dataset.augment:  # the images that mosaics are made of, as ultralytics keeps them
            dataset.ims[i], dataset.im_hw0[i], dataset.im_hw[i] = image, size, (height, width)
            dataset.buffer.append(i)
            if 1 < len(dataset.buffer) >= dataset.max_buffer_length:
                j = dataset.buffer.pop(0)
                dataset.ims[j] = dataset.im_hw0[j] = dataset.im_hw[j] = None
        return image, size, (height, width)

    dataset.load_image = load_image


def draw_by_place(dataset: Any, seed: int) -> None:
    """Let an image at a `Place` draw the lots of the place, and mosaics take any images."""
    theirs = dataset.get_image_and_label

    def get_image_and_label(place: int | Place) -> dict[str, Any]:
        if isinstance(place, tuple):
            _draw_from(seed, *place)
            place = place[1]
        found: dict[str, Any] = theirs(place)
        return found

    dataset.get_image_and_label = get_image_and_label
    _forget_history(dataset.transforms)


def _draw_from(seed: int, epoch: int, number: int) -> None:
    """Begin the lots of an image: Python's, numpy's, and torch's, which seeds albumentations'."""
    python, numpy, torchs = np.random.SeedSequence([seed, epoch, number]).generate_state(3)
    random.seed(int(python))
    np.random.seed(int(numpy))  # noqa: NPY002 - the lots that ultralytics draws
    torch.default_generator.manual_seed(int(torchs))


def _forget_history(step: Any) -> None:
    """Let a mosaic take any images, not those that its process happened to read last."""
    if hasattr(step, "buffer_enabled"):
        step.buffer_enabled = False
    for inner in getattr(step, "transforms", ()):
        _forget_history(inner)
