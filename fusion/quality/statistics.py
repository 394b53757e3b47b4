"""Metrics of whole-image statistics: SD, CC, SCD, MSE, PSNR, and of histograms: EN, MI."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fusion.quality.settings import Convention
from fusion.quality.triple import FUSED, INFRARED, VISIBLE, Triple


def standard_deviation(images: Triple, convention: Convention) -> Tensor:
    """SD, the population standard deviation of the fused image, in grey levels."""
    return (images.scatter[:, FUSED, FUSED] / images.pixels).sqrt()


def correlation(images: Triple, convention: Convention) -> Tensor:
    """CC, the mean of the fused image's Pearson correlations with the two sources."""
    s = images.scatter
    both = [
        s[:, source, FUSED] / (s[:, source, source] * s[:, FUSED, FUSED]).sqrt()
        for source in (INFRARED, VISIBLE)
    ]
    return (both[0] + both[1]) / 2


def correlations_of_differences(images: Triple, convention: Convention) -> Tensor:
    """SCD, corr(A, F - B) + corr(B, F - A) (Aslantas and Bendes 2015).

    Everything follows from the six sums in `Triple.scatter`; no difference image is made.
    """
    s = images.scatter
    total = images.zeros()
    for source, other in ((INFRARED, VISIBLE), (VISIBLE, INFRARED)):
        together = s[:, source, FUSED] - s[:, source, other]
        total += together / (s[:, source, source] * scatter_of_difference(images, other)).sqrt()
    return total


def scatter_of_difference(images: Triple, source: int) -> Tensor:
    """Return the scatter of fused minus source, B values, exactly 0 where that is constant."""
    s = images.scatter
    return s[:, FUSED, FUSED] + s[:, source, source] - 2 * s[:, source, FUSED]


def mean_squared_error(images: Triple, convention: Convention) -> Tensor:
    """MSE, the mean of the two mean squared differences from the sources, in grey levels squared.

    Each is the variance of the difference plus the square of its mean.
    """
    shift = images.means[:, 1:] - images.means[:, :1]
    both = [
        scatter_of_difference(images, source) / images.pixels + shift[:, source - 1] ** 2
        for source in (INFRARED, VISIBLE)
    ]
    return (both[0] + both[1]) / 2


def peak_signal_to_noise(images: Triple, convention: Convention) -> Tensor:
    """PSNR in dB; the peak is the fused image's own maximum, not 255."""
    peak = images.levels[FUSED].flatten(1).amax(dim=1).double()
    return 10 * (peak**2 / mean_squared_error(images, convention)).log10()


def entropy(images: Triple, convention: Convention) -> Tensor:
    """EN, the entropy of the fused image's 256 grey levels, in bits."""
    return _entropy(images.joint_infrared.sum(dim=2)) / math.log(2)


def mutual_information(images: Triple, convention: Convention) -> Tensor:
    """MI, I(F;A) + I(F;B) over the single grey levels, in nats; I = H(F) + H(A) - H(F, A)."""
    total = images.zeros()
    for joint in (images.joint_infrared, images.joint_visible):
        total += _entropy(joint.sum(dim=2)) + _entropy(joint.sum(dim=1)) - _entropy(joint)
    return total


def _entropy(counts: Tensor) -> Tensor:
    """Return the entropy in nats of histograms, int64 B x ..."""
    counts = counts.flatten(1).double()
    shares = counts / counts.sum(dim=1, keepdim=True)
    return -torch.xlogy(shares, shares).sum(dim=1)
