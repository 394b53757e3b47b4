"""Numbers that may be missing: nan stands for what is not defined."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mean_present(values: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    """Return the means over the last axis of what is not nan; nan where nothing is left."""
    given = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(given)
    total = np.where(present, given, 0).sum(axis=-1)
    number = present.sum(axis=-1)
    means: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, number, out=means, where=number > 0)
    return means


def none_if_nan(value: float) -> float | None:
    """Return the value as JSON, which lacks nan, can hold it."""
    return None if math.isnan(value) else value
