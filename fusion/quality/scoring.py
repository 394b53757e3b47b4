"""Score fused images against their sources on any of the twelve metrics, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import get_args

import torch
from torch import Tensor

from fusion.errors import InputError, did_you_mean
from fusion.quality import gradients, statistics
from fusion.quality.settings import METRICS, Convention
from fusion.quality.ssim import structural_similarity
from fusion.quality.triple import Triple
from fusion.quality.undefined import undefined
from fusion.quality.viff import visual_information_fidelity
from fusion.torch_tools import limited_threads

_FUNCTIONS: dict[str, Callable[[Triple, Convention], Tensor]] = {
    "SD": statistics.standard_deviation,
    "AG": gradients.average_gradient,
    "SF": gradients.spatial_frequency,
    "SCD": statistics.correlations_of_differences,
    "VIFF": visual_information_fidelity,
    "SSIM": structural_similarity,
    "EN": statistics.entropy,
    "MI": statistics.mutual_information,
    "MSE": statistics.mean_squared_error,
    "CC": statistics.correlation,
    "PSNR": statistics.peak_signal_to_noise,
    "Qabf": gradients.edge_preservation,
}

_CUDA_PIXELS = 1 << 23
"""Pixels of each input scored at once on a GPU: a few GiB of intermediate images."""


@torch.no_grad()
def score(
    fused: Tensor,
    infrared: Tensor,
    visible: Tensor,
    metrics: Sequence[str] = METRICS,
    convention: Convention = "paper",
) -> dict[str, Tensor]:
    """Return per metric the values of a batch of fused images, float64, nan where undefined.

    The three batches are luminance, B x H x W, uint8 or float with whole values 0 to 255, all on
    one device. `infrared` is the first source (or MRI), `visible` the second. Convention
    ``paper`` is the arithmetic behind the LKC-FUNet paper's Table 3, ``released`` that of its
    released evaluator. Raises InputError when a batch, a metric or the convention is not so.
    """
    _check_choice(metrics, convention)
    levels = as_levels(fused, infrared, visible)
    values = torch.empty(len(metrics), len(fused), dtype=torch.float64, device=fused.device)
    size = _images_at_once(levels[0])

    def fill(start: int) -> None:
        images = Triple(*(batch[start : start + size] for batch in levels))
        for row, metric in zip(values[:, start : start + size], metrics, strict=True):
            row.copy_(value_of(metric, images, convention))

    _for_each(fill, range(0, len(fused), size), fused.device)
    return dict(zip(metrics, values, strict=True))


def why_undefined(
    metric: str,
    fused: Tensor,
    infrared: Tensor,
    visible: Tensor,
    convention: Convention = "paper",
) -> list[str | None]:
    """Return for each image of a batch why `score` gives nan, in words, or None where it does not.

    Takes what `score` takes, and raises what it raises.
    """
    _check_choice((metric,), convention)
    images = Triple(*as_levels(fused, infrared, visible))
    reasons: list[str | None] = [None] * len(fused)
    for reason, holds in undefined(metric, images, convention):
        for i in holds.nonzero().flatten().tolist():
            reasons[i] = reasons[i] or reason
    return reasons


def value_of(metric: str, images: Triple, convention: Convention) -> Tensor:
    """Return one metric of a batch that is scored at once, B values, nan where undefined."""
    nan = images.zeros() + torch.nan
    rules = [holds for _, holds in undefined(metric, images, convention)]
    if any(bool(holds.all()) for holds in rules):
        return nan
    value = _FUNCTIONS[metric](images, convention)
    for holds in rules:
        value = torch.where(holds, nan, value)
    return value


def _for_each(do: Callable[[int], None], starts: range, device: torch.device) -> None:
    """Call `do` for all starts, on a CPU in as many threads as torch would give one operation.

    One image a thread needs no meeting of the threads after each of some thousand short
    operations, which costs most of the gain, and all of it on a busy machine.
    """
    if device.type == "cpu":
        _keep_freed_memory()
    threads = torch.get_num_threads()
    if device.type != "cpu" or min(threads, len(starts)) < 2:
        for start in starts:
            do(start)
        return
    with limited_threads(1), ThreadPoolExecutor(min(threads, len(starts))) as pool:
        list(pool.map(torch.no_grad()(do), starts))


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Free a block of almost 32 MiB, so that glibc reuses the smaller ones freed from now on.

    It otherwise hands each image's intermediate results back to the system and fetches them
    anew, page by page: a third of the whole time. Elsewhere this does nothing.
    """
    torch.empty((32 << 20) - (1 << 16), dtype=torch.uint8)


def _images_at_once(batch: Tensor) -> int:
    # On a CPU what one image's metrics share should stay in the cache.
    if batch.device.type == "cpu":
        return 1
    return max(1, _CUDA_PIXELS // (batch.shape[1] * batch.shape[2]))


def _check_choice(metrics: Sequence[str], convention: str) -> None:
    for metric in metrics:
        if metric not in METRICS:
            raise InputError(f'There is no metric "{metric}".{did_you_mean(metric, list(METRICS))}')
    if convention not in get_args(Convention):
        known = list(get_args(Convention))
        raise InputError(f'There is no convention "{convention}".{did_you_mean(convention, known)}')


def as_levels(fused: Tensor, infrared: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three batches as uint8, once it is sure that nothing is lost by that.

    Raises InputError unless all are B x H x W, of one shape and device, with whole values 0..255.
    """
    for name, batch in (("fused", fused), ("infrared", infrared), ("visible", visible)):
        if batch.ndim != 3 or batch.shape != fused.shape or 0 in batch.shape[1:]:
            raise InputError(
                f"The {name} batch has shape {tuple(batch.shape)} and the fused one "
                f"{tuple(fused.shape)}; give three equal B x H x W batches of luminance."
            )
        if batch.device != fused.device:
            raise InputError(
                f"The {name} batch is on {batch.device} and the fused one on {fused.device}; "
                f"move all three to one device."
            )
    return (
        _levels("fused", fused),
        _levels("infrared", infrared),
        _levels("visible", visible),
    )


def _levels(name: str, batch: Tensor) -> Tensor:
    if batch.dtype == torch.uint8:
        return batch
    if not batch.is_floating_point():
        raise InputError(
            f"The {name} batch is {batch.dtype}; give uint8, or float with whole values 0 to 255."
        )
    levels = batch.clamp(0, 255).to(torch.uint8)
    if not torch.equal(levels.to(batch.dtype), batch):
        raise InputError(
            f"The {name} batch holds values that are not whole numbers from 0 to 255; multiply "
            f"images in [0, 1] by 255 and round them, as when they are written to a file."
        )
    return levels
