"""Batches of a fused folder: pairs of one size put together, whatever their order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

LOOK_AHEAD = 4
"""How many batches' worth of items may wait for others of their size."""

Item = TypeVar("Item")


def batches(
    items: Iterable[Item], size: int, key: Callable[[Item], Hashable]
) -> Iterator[list[Item]]:
    """Yield lists of at most `size` items of equal `key`, the longest waiting first when in doubt.

    Sizes may alternate: items wait for their like until `size` of one key or ``LOOK_AHEAD * size``
    in all are there. The order within a key is kept.
    """
    waiting: dict[Hashable, list[Item]] = {}
    held = 0
    for item in items:
        group = waiting.setdefault(key(item), [])
        group.append(item)
        held += 1
        if len(group) == size or held == LOOK_AHEAD * size:
            full = key(item) if len(group) == size else next(iter(waiting))
            done = waiting.pop(full)
            held -= len(done)
            yield done
    yield from waiting.values()
