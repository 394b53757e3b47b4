"""What a detector's training draws by lot: the order of its images, and how they are augmented."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def draws_of(trainer: Any) -> dict[str, Any]:
    """Return the states of all generators, and which images mosaics are made of, plainly.

    The loader's generator is left out: what it has drawn follows from the seed.
    """
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 (what ultralytics draws from)
    cuda = trainer.device.type == "cuda"
    return {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(trainer.device) if cuda else None,
        "transforms": [
            (one.seed, one.random_generator.bit_generator.state, one.py_random.getstate())
            for one in _drawing(trainer)
        ],
        "buffer": list(trainer.train_loader.dataset.buffer),
    }


def restore_draws(trainer: Any, draws: dict[str, Any], done: int) -> None:
    """Let the next iterator go on as the one that was there after `done` epochs would have.

    On an accelerator there is nothing to do: lots are functions of epoch and image. The loop
    makes the iterator once mosaics are closed, if they are, and all else depends on it.
    """
    if trainer.sampler is not None:
        return
    loader, make = trainer.train_loader, trainer.train_loader._get_iterator
    closed = max(0, trainer.epochs - trainer.args.close_mosaic)

    def get_iterator() -> Any:
        del loader._get_iterator
        # When mosaics are closed between two epochs, iterator and transforms are made anew.
        spans = [closed, done - closed] if 0 < closed <= done else [done]
        iterator = _advanced(loader, make, [span * len(loader) for span in spans])
        for index in draws["buffer"]:
            loader.dataset.load_image(index)  # which puts it into the mosaics' buffer
        _restore_generators(trainer, draws, transforms=done != closed)
        return iterator

    loader._get_iterator = get_iterator


def _advanced(loader: Any, make: Callable[[], Any], spans: list[int]) -> Any:
    """Return an iterator that has drawn what the earlier ones drew from the loader's generator."""
    for span in spans:
        iterator = make()
        for _ in range(span):
            next(iterator._sampler_iter)
    return iterator


def _restore_generators(trainer: Any, draws: dict[str, Any], *, transforms: bool) -> None:
    random.setstate(draws["python"])
    np.random.set_state(tuple(draws["numpy"]))  # noqa: NPY002
    torch.set_rng_state(draws["torch"])
    if draws["cuda"] is not None:
        torch.cuda.set_rng_state(draws["cuda"], trainer.device)
    if transforms:
        for one, (seed, state, python) in zip(_drawing(trainer), draws["transforms"], strict=True):
            one.set_random_seed(seed)
            one.random_generator.bit_generator.state = state
            one.py_random.setstate(python)


def _drawing(trainer: Any) -> list[Any]:
    """Return the transforms that draw from generators of their own: those of albumentations."""
    found = []
    for transform in trainer.train_loader.dataset.transforms.transforms:
        composed = getattr(transform, "transform", None)
        if composed is not None and hasattr(composed, "py_random"):
            found += [composed, *composed.transforms]
    return found
