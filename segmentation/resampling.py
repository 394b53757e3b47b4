"""IoU of resampled test sets, exact: confusions add up, so a repeated image is a weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.nan import mean_present
from segmentation.iou import class_iou

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ResampledIou:
    """IoU in [0, 1] by resample and class, float64[resamples, n], nan where a class is absent."""

    iou: Floats

    @property
    def miou(self) -> Floats:
        """float64[resamples], the mean over the classes present, background (class 0) too."""
        return mean_present(self.iou)

    @property
    def miou_foreground(self) -> Floats:
        """The same without background; nan where no other class is present."""
        return mean_present(self.iou[:, 1:])


def resampled_iou(confusion: NDArray[np.int64], counts: NDArray[Any]) -> ResampledIou:
    """Return the IoU of every resample.

    `confusion` is int64[images, n, n] as `evaluate` gives it, `counts`, [resamples, images], how
    often each resample draws each image. It equals `scores` of the summed matrix of that many
    copies.
    """
    images, classes, _ = confusion.shape
    # As floats the product is BLAS's and still exact: pixels count far below 2 ** 53.
    flat = confusion.reshape(images, classes * classes).astype(np.float64)
    summed = (counts.astype(np.float64) @ flat).astype(np.int64)
    return ResampledIou(class_iou(summed.reshape(-1, classes, classes)))
