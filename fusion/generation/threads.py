"""Threads that read and write images while a network computes."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

from fusion.method import FusionMethod
from fusion.torch_tools import limited_threads

MOST_WORKERS = 8
LIGHT = 1000
"""A method of fewer weights is counted as cheaper than the PNG files around it (about 20 ns a
pixel; a weight costs about one multiply-add a pixel)."""

In = TypeVar("In")
Out = TypeVar("Out")


def workers() -> int:
    """Return how many threads decode, and how many encode: OpenCV does both outside the GIL."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(2, cores or 1), MOST_WORKERS)


@contextlib.contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that end with the block, whatever has been asked of them."""
    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)


@contextlib.contextmanager
def lone_threads(method: FusionMethod) -> Iterator[None]:
    """Let OpenCV, and torch for a light method, compute without helpers of their own.

    Helpers spin while they wait for work, on the cores that decode and encode. For torch the
    choice is by weights, not by time: results may depend on it in their last bits.
    """
    weights = sum(tensor.numel() for tensor in method.state_dict().values())
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with limited_threads(1 if weights < LIGHT else None):
            yield
    finally:
        cv2.setNumThreads(before)


def ahead(
    threads: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], depth: int
) -> Iterator[Out]:
    """Yield function(item) in order, computed by `threads` at most `depth` items ahead."""
    waiting: deque[Future[Out]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def collect(pending: deque[Future[None]], keep: int) -> None:
    """Wait until at most `keep` of the calls are pending; a failed one is raised at once."""
    while pending and (len(pending) > keep or pending[0].done()):
        pending.popleft().result()
