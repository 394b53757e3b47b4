"""Percentile intervals of resampled values, widened for few scenes and corrected for bias.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 14;
Hesterberg, The American Statistician 69 (2015), expanded percentiles.
"""

from __future__ import annotations

import numpy as np

from pipelines.results.statistics.samples import Floats, Units

LEVEL = 95.0


def percentile_interval(
    values: Floats, units: Units | None = None, point: float | None = None
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of resampled values; None where none is defined.

    Of few `units` resamples spread too little, and how much is uncertain: instead of 2.5 and 97.5
    the ends are the percentiles at phi(-+ z), where z is Student's quantile by the root of the
    inflation (Hesterberg). With the estimate on the images themselves, `point`, they are corrected
    for bias: where a share u of the resampled values lies below it, they are at
    phi(2 phi^-1(u) -+ z) (Efron 1981), which AP needs: it lies above the truth, and resampled again
    above itself.
    Undefined values (nan) are left out: the interval holds for resamples that show the class.
    """
    from scipy.special import ndtr, ndtri, stdtrit  # scipy.stats takes a second to import

    known = values[np.isfinite(values)]
    if not known.size:
        return None
    half = ndtri(0.5 + LEVEL / 200)
    if units is not None and units.several:
        half = stdtrit(units.degrees, 0.5 + LEVEL / 200) * units.inflation**0.5
    middle = 0.0
    if point is not None:
        below = ((known < point).mean() + (known <= point).mean()) / 2
        # One resample at least on either side, so that the correction stays finite.
        below = min(max(below, 1 / (len(known) + 1)), len(known) / (len(known) + 1))
        middle = 2 * ndtri(below)
    low, high = np.percentile(known, 100 * ndtr([middle - half, middle + half]))
    return float(low), float(high)
