"""Samples read once, batched and augmented so that any epoch can be built again."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.errors import InputError
from fusion.pairs import Image, channels_of
from segmentation.datasets import read_sample
from segmentation.settings import SegmenterSettings

Item = TypeVar("Item")
Made = TypeVar("Made")

MEMORY_BUDGET = 4 * 2**30
"""More bytes of images are kept in an unnamed file beside the results, not in memory."""


@dataclass(frozen=True)
class Samples:
    """A split, decoded: uint8 images N x H x W x 3 (or 4) and masks N x H x W."""

    images: Image
    masks: Image


def read_split(
    split: str,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    splits: Mapping[str, Sequence[str]],
    classes: int,
    settings: SegmenterSettings,
    folder: Path,
) -> Samples:
    """Read the images and masks of `splits[split]`, resized to the settings' size.

    What exceeds `MEMORY_BUDGET` goes to a file in `folder` that vanishes with the process.
    Raises InputError when the split is missing or empty, or a name has no image or mask.
    """
    if not splits.get(split):
        raise InputError(f'The split "{split}" is missing or empty; list its images.')
    for what, files in (("image", images), ("mask", masks)):
        lacking = sorted(set(splits[split]) - files.keys())
        if lacking:
            raise InputError(
                f'"{lacking[0]}" of the split "{split}" has no {what}; add it or shorten the split.'
            )
    names, size = splits[split], (settings.height, settings.width)
    channels = channels_of(images[names[0]])
    room = _room((len(names), *size, channels), folder)
    read = Samples(room, _room((len(names), *size), folder))
    for row, name in enumerate(names):
        pair = read_sample(images[name], masks[name], classes, *size, channels)
        read.images[row], read.masks[row] = pair
    return read


def _room(shape: tuple[int, ...], folder: Path) -> Image:
    if math.prod(shape) <= MEMORY_BUDGET:
        return np.empty(shape, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # mapped, it outlives its handle
        return np.memmap(file, np.uint8, "w+", shape=shape)


def batch_indices(count: int, batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the shuffled batches of one epoch; a last batch of a single image is left out."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    batches = [order[start : start + batch] for start in range(0, count, batch)]
    return [b for b in batches if len(b) > 1]


def ahead(function: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """Yield `function` of each item in order, the next one being computed in a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        pending = [thread.submit(function, item) for item in items[:1]]
        for item in items[1:]:
            following = thread.submit(function, item)
            yield pending.pop().result()
            pending.append(following)
        for last in pending:
            yield last.result()


def augmentation(
    settings: SegmenterSettings,
) -> Callable[[Image, Image, int], tuple[Image, Image]]:
    """Return a function of (image, mask, seed) that crops, flips and brightens both alike.

    The result depends on nothing but its arguments.
    """
    # albumentations asks the network for newer versions when imported, unless told not to.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    aspect = settings.width / settings.height
    chain = albumentations.Compose(
        [
            albumentations.RandomResizedCrop(
                (settings.height, settings.width),
                scale=(0.35, 1.0),
                ratio=(0.85 * aspect, 1.15 * aspect),
            ),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.RandomBrightnessContrast(0.2, 0.2, p=0.5),
        ]
    )

    def augment(image: Image, mask: Image, seed: int) -> tuple[Image, Image]:
        chain.set_random_seed(seed)
        both = chain(image=image, mask=mask)
        return both["image"], both["mask"]

    return augment


def mixed_seed(*parts: int) -> int:
    """Return a well-mixed 32-bit seed of some integers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def class_weights(masks: Image, classes: int, settings: SegmenterSettings) -> Tensor:
    """Return the weight of each class in the loss, float[classes]."""
    if settings.class_weights == "none":
        return torch.ones(classes)
    weights = median_frequency(masks, classes)
    if settings.class_weights == "root_frequency":
        # With few epochs the full weights flood the image with rare classes; their roots do not.
        weights = np.sqrt(weights)
    return torch.from_numpy(weights).float()


def median_frequency(masks: Image, classes: int) -> NDArray[np.float64]:
    """Return the weight per class of masks N x H x W: median frequency / its frequency.

    A class's frequency is its share of the pixels of the masks that hold it; an absent class
    weighs 0. Source: Eigen and Fergus, ICCV 2015, section 6.2.
    """
    counts = np.stack([np.bincount(mask.ravel(), minlength=classes) for mask in masks])
    pixels = (counts > 0).sum(axis=0) * masks[0].size
    share = np.divide(counts.sum(axis=0), pixels, out=np.zeros(classes), where=pixels > 0)
    median = np.median(share[share > 0])
    weights: NDArray[np.float64] = np.zeros(classes)
    np.divide(median, share, out=weights, where=share > 0)
    return weights
