"""What an interrupted run has left to do: the images that are not there whole, in their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fusion.errors import InputError
from fusion.generation import threads
from fusion.pairs import ImagePair, read_image


def remaining_pairs(pairs: Sequence[ImagePair], out: Path) -> list[ImagePair]:
    """Return the pairs that have no fused image ``out/NAME.png``, in their order.

    Images are written whole or not at all; still, each is decoded, and its size compared with the
    visible image's. Raises InputError for a visible image that cannot be read.
    """
    left = remaining({pair.name: pair.visible for pair in pairs}, out)
    return [pair for pair in pairs if pair.name in left]


def remaining(sources: Mapping[str, Path], out: Path) -> dict[str, Path]:
    """Return those of `sources`, images by name, of which no ``out/NAME.png`` of equal size is."""
    workers = threads.workers()
    with threads.pool(workers) as pool:
        made = threads.ahead(pool, partial(_is_made, out), sources.items(), workers)
        return {
            name: path
            for (name, path), there in zip(sources.items(), made, strict=True)
            if not there
        }


def _is_made(out: Path, source: tuple[str, Path]) -> bool:
    name, path = source
    target = out / f"{name}.png"
    if not target.is_file():
        return False
    try:
        size = read_image(target).shape[:2]
    except InputError:
        return False
    return size == read_image(path).shape[:2]
