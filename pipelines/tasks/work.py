"""How much work a stage is: which network sees how many images of which size, and what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fusion.errors import InputError
from fusion.pairs import read_rgb
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.stage import Stage

SAMPLED = 8
"""How many images are looked at for their size."""
BACKWARD = 3
"""A training step does about three times the operations of the forward pass."""


@dataclass(frozen=True)
class Sizes:
    """How many images each split has, `pairs` in all, their size (pixels), and bytes of a PNG.

    Without a split, all are tested. What is not known is nan.
    """

    train: float
    val: float
    test: float
    pairs: float
    height: float
    width: float
    png_bytes: float

    @property
    def pixels(self) -> float:
        """Of one image."""
        return self.height * self.width


UNKNOWN = Sizes(*[math.nan] * 7)
"""Those of a dataset that is not there."""


@dataclass(frozen=True)
class Work:
    """What a stage does: `epochs` times, `network` sees `images` of `height` x `width` pixels.

    `network` names a function, ``module:function``, that builds it from `given` (and `code`,
    whose change makes it another one); "" where nothing is worth counting. Images are shown
    `batch` at a time. `handled` are the pixels that are read or written as PNG, in all.
    `data_bytes` are left in the store, and `parameter_bytes` for each parameter of the network.
    Where a training is one of some layers, `partly`, its step is counted with its own gradients.
    What is not known without the dataset is nan.
    """

    network: str
    given: Mapping[str, Any]
    images: float
    height: float
    width: float
    epochs: int = 1
    batch: int = 1
    training: bool = False
    precision: str = "fp32"
    handled: float = 0.0
    data_bytes: float = 0.0
    parameter_bytes: int = 0
    partly: bool = False
    code: str = ""

    @property
    def pixels(self) -> float:
        """Everything that passes through the network, in pixels."""
        return self.epochs * self.images * self.height * self.width

    @property
    def name(self) -> str:
        """What the network is called: what `given` says first, where that is a word."""
        first = next(iter(self.given.values()), "")
        return first if isinstance(first, str) else ""

    @property
    def kind(self) -> tuple[object, ...]:
        """What speed depends on, beside the size."""
        return self.network, self.given, self.precision

    @property
    def known(self) -> bool:
        """Whether it can be said how much it is."""
        return math.isfinite(self.pixels)

    @property
    def step(self) -> tuple[float, ...]:
        """What memory depends on: the batch, and the size of its images."""
        return self.batch, self.height, self.width


Measure = Callable[[Stage, Sizes], Work]
"""Returns the work of a stage, given the sizes of its dataset."""


def sizes_of(spec: Mapping[str, Any]) -> Sizes:
    """Return the sizes of a dataset, by its spec as plain values; unknown where it is not there."""
    try:
        return measured(open_dataset(DatasetSpec(**spec)))
    except (InputError, OSError, ValueError):
        return UNKNOWN


def measured(dataset: Dataset) -> Sizes:
    """Return the sizes of a dataset, by the mean of a few of its visible images."""
    names = list(dataset.pairs)
    files = [dataset.pairs[name].visible for name in names[:: max(1, len(names) // SAMPLED)]]
    shapes = [read_rgb(file).shape for file in files]
    pairs, splits = len(names), {name: len(own) for name, own in dataset.splits.items()}
    if dataset.spec.split is not None and not splits:  # to be drawn
        split = dataset.spec.split
        ratios = split.ratios if split.folds is None else (split.folds - 1, 0, 1)
        drawn = (pairs * ratio / sum(ratios) for ratio in ratios)
        splits = dict(zip(("train", "val", "test"), map(round, drawn), strict=True))
    return Sizes(
        splits.get("train", math.nan),
        splits.get("val", 0),
        splits.get("test", pairs),
        pairs,
        height=round(sum(shape[0] for shape in shapes) / len(shapes)),
        width=round(sum(shape[1] for shape in shapes) / len(shapes)),
        png_bytes=sum(file.stat().st_size for file in files) / len(files),
    )


def crops_work(
    network: str, given: Mapping[str, Any], stage: Stage, sizes: Sizes, files: int
) -> Work:
    """Return the work of training on crops, in full batches; an example has `files` images."""
    settings = stage.spec["settings"]
    batch = settings["batch_size"]
    images = sizes.train * settings["crops_per_image"] // batch * batch
    images += sizes.val / BACKWARD / settings["validate_every"]
    return Work(
        network,
        given,
        images,
        settings["crop"],
        settings["crop"],
        epochs=settings["epochs"],
        batch=batch,
        training=True,
        precision=settings.get("precision", "fp32"),
        handled=files * sizes.train * sizes.pixels,
        parameter_bytes=16,  # weights, and in the state weights and both of Adam's moments
        code=str(stage.spec["code"]),
    )


def trained_images(settings: Mapping[str, Any], sizes: Sizes) -> float:
    """Return the images of an epoch; one that is only validated counts by its share of work."""
    if settings.get("select") != "best":
        return sizes.train
    return sizes.train + sizes.val / BACKWARD / float(settings.get("validate_every", 1))
