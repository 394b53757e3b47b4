"""What a network costs: its operations, counted without doing them, and its time, measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.execution.job import Job
from pipelines.store.stage import Kind, Metrics, load_body

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Built = tuple[nn.Module, Callable[[int, int, int], Tensor]]

COUNT = Kind("operations", 1, f"{__name__}:count")
CALIBRATION = Kind("calibration", 1, f"{__name__}:calibrate")
FILES = Kind("calibration_png", 1, f"{__name__}:calibrate_png")

SMALL = 128
"""The side (pixels) of the image that a network is tried on which cannot be counted otherwise."""
SHAPE = ("batch", "height", "width")
Shape = tuple[int, int, int]
GROWTH = 4
"""How much larger the next trial is."""


def count(job: Job) -> Metrics:
    """Count the operations (2 for a multiply-add) of one image's forward pass, and parameters.

    With `training`, those of the gradients, too.
    Nothing is computed: tensors have shapes alone. A network that looks at its values is run on a
    small image, and its operations are taken to grow with the pixels. Large kernels count as the
    plain convolutions that they are.
    """
    import torch
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    from fusion.layers.large_kernel.layer import algorithm

    torch.manual_seed(0)
    height, width = job.spec["height"], job.spec["width"]
    network, forward = _build(job.spec, "cpu")

    def operations(height: int, width: int, fake: bool) -> int:
        mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else nullcontext()
        graph, direct = torch.set_grad_enabled(job.spec["training"]), algorithm("direct")
        with mode, graph, direct, FlopCounterMode(display=False) as counter:
            total = forward(2, height, width)  # batch normalisation wants two
            if job.spec["training"]:
                total.backward()  # type: ignore[no-untyped-call]
        return int(counter.get_total_flops())

    try:
        found = operations(height, width, fake=True) / 2
    except DataDependentOutputException:
        found = operations(SMALL, SMALL, fake=False) / 2 * (height * width) / SMALL**2
    return {"operations": found, "parameters": sum(p.numel() for p in network.parameters())}


def calibrate(job: Job) -> Metrics:
    """Measure how many pixels a second a network sees here, and how long it takes to begin.

    Takes about `seconds` at most, beside the beginning. Begins with a small image and goes on to
    the real size and batch while time and memory allow; there the fastest pass counts, so that
    what else the machine does counts little.
    """
    import torch

    from fusion.torch_tools import float32_products, limited_threads, mixed, resolve_device

    where, precision = resolve_device(job.device), job.spec["precision"]
    torch.manual_seed(0)
    with limited_threads(job.threads), float32_products(precision), mixed(precision, where):
        before = time.thread_time()
        _, forward = _build(job.spec, str(where))
        start = time.thread_time() - before
        deadline = time.perf_counter() + job.local["seconds"]

        def measure(shape: Shape) -> float:
            return _seconds(partial(forward, *shape), job.spec["training"], where)

        shape, best = _largest(_trials(job.spec), measure, deadline)
        while time.perf_counter() + best < deadline:
            best = min(best, measure(shape))
    seen = dict(zip(SHAPE, shape, strict=True))
    return {"pixels_per_second": math.prod(shape) / best, "start_seconds": start, **seen}


def _largest(
    trials: Sequence[Shape], measure: Callable[[Shape], float], deadline: float
) -> tuple[Shape, float]:
    """Return the largest trial that time and memory allow, with its seconds."""
    import torch

    shape, best = trials[0], math.inf
    for following in trials:
        grown = 2 * best * math.prod(following) / math.prod(shape)
        if best < math.inf and time.perf_counter() + grown > deadline:
            break
        try:
            measure(following)  # makes ready
            shape, best = following, measure(following)
        except torch.OutOfMemoryError:
            if best == math.inf:
                raise
            break
    return shape, best


def calibrate_png(job: Job) -> Metrics:
    """Measure how many pixels a second one thread reads or writes as PNG, each as often."""
    import cv2
    import numpy as np

    drawn = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = cv2.resize(drawn, (640, 480), interpolation=cv2.INTER_CUBIC)
    start, own, rounds = time.perf_counter(), time.thread_time(), 0
    while time.perf_counter() - start < job.local["seconds"]:
        _, data = cv2.imencode(".png", image)
        cv2.imdecode(data, cv2.IMREAD_COLOR)
        rounds += 1
    pixels = 2 * rounds * image.shape[0] * image.shape[1]
    return {"pixels_per_second": pixels / (time.thread_time() - own)}


def _trials(spec: Mapping[str, Any]) -> list[Shape]:
    """Return the shape of each trial, from small to the real one."""
    height, width, batch = spec["height"], spec["width"], spec["batch"]
    smallest = min(2, batch) if spec["training"] else 1
    sides = [(height, width)]
    while min(sides[0]) >= 2 * SMALL:
        sides.insert(0, (sides[0][0] // 2 // 32 * 32, sides[0][1] // 2 // 32 * 32))
    batches = [smallest]
    while batches[-1] < batch:
        batches.append(min(batch, batches[-1] * GROWTH))
    return [*((smallest, *side) for side in sides), *((b, height, width) for b in batches[1:])]


def _seconds(forward: Callable[[], Tensor], training: bool, device: torch.device) -> float:
    """Return the seconds of one pass, or of one step of training but for the optimiser's.

    On a processor, the time in which others had it is left out.
    """
    import torch

    begun = time.perf_counter(), time.thread_time(), time.process_time()
    with torch.set_grad_enabled(training):
        total = forward()
        if training:
            total.backward()  # type: ignore[no-untyped-call]
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    ended = time.perf_counter(), time.thread_time(), time.process_time()
    wall, thread, process = (after - before for before, after in zip(begun, ended, strict=True))
    # The pass is this thread's own work, or that of others which it waits for.
    own = max(thread, process / torch.get_num_threads())
    return wall if device.type == "cuda" else min(wall, own)


def _build(spec: Mapping[str, Any], device: str) -> Built:
    """Return the network, and a function that shows it random images of (batch, height, width)."""
    build: Any = load_body(spec["network"])
    network, forward = build(spec["given"], device, spec["training"])
    return network, forward
