"""Where a metric has no value, and why: the one list behind every nan."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from fusion.quality.settings import Convention
from fusion.quality.statistics import mean_squared_error, scatter_of_difference
from fusion.quality.triple import FUSED, INFRARED, VISIBLE, Triple
from fusion.quality.viff import MIN_SIDE

_NAMES = {FUSED: "fused", INFRARED: "infrared", VISIBLE: "visible"}


def undefined(metric: str, images: Triple, convention: Convention) -> Iterator[tuple[str, Tensor]]:
    """Yield each reason why `metric` may have no value, and for which images it holds (bool, B)."""
    least = _least_side(metric, convention)
    if min(images.height, images.width) < least:
        words = f"{metric} needs at least {least} x {least} pixels"
        yield words, images.zeros() == 0
    elif metric == "CC":
        yield from (_constant(images, which) for which in (FUSED, INFRARED, VISIBLE))
    elif metric == "SCD":
        yield from (_constant(images, which) for which in (INFRARED, VISIBLE))
        yield from (_constant_difference(images, which) for which in (INFRARED, VISIBLE))
    elif metric == "PSNR":
        error = mean_squared_error(images, convention)
        yield "the fused image equals both sources, so there is no error", error == 0
        yield "the fused image is black, so there is no peak", _black(images, FUSED)
    elif metric == "Qabf":
        both = _black(images, INFRARED) & _black(images, VISIBLE)
        yield "both sources are black, so they have no edges", both


def _least_side(metric: str, convention: Convention) -> int:
    if metric == "SSIM":
        return 7 if convention == "released" else 1
    return {"AG": 2, "SF": 2, "VIFF": MIN_SIDE}.get(metric, 1)


def _constant(images: Triple, which: int) -> tuple[str, Tensor]:
    return f"the {_NAMES[which]} image is constant", images.scatter[:, which, which] == 0


def _constant_difference(images: Triple, source: int) -> tuple[str, Tensor]:
    words = f"the fused image and the {_NAMES[source]} one differ by a constant or not at all"
    return words, scatter_of_difference(images, source) == 0


def _black(images: Triple, which: int) -> Tensor:
    return images.levels[which].flatten(1).amax(dim=1) == 0
