"""VIFF, the visual information that a fused image keeps of its sources."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fusion.quality.settings import Convention
from fusion.quality.triple import Triple
from fusion.quality.windows import LocalMoments, filtered, gaussian_taps, local_moments

_WINDOWS = [gaussian_taps(size, size / 5) for size in (17, 9, 5, 3)]
_HAN_WEIGHTS = (1.0, 0.0, 0.15, 1.0)
_HAN_NOISE, _VIF_NOISE = 0.005 * 255**2, 2.0
_FLAT = 1e-10
"""A local variance below this counts as none."""

MIN_SIDE = 41
"""The shorter side, in pixels, from which all four scales have at least one window."""


def visual_information_fidelity(images: Triple, convention: Convention) -> Tensor:
    """VIFF, over four scales of windows of 17, 9, 5 and 3 pixels, each half the one before.

    ``paper``: Han et al. 2013; at every pixel the source that is harder to see in the fused
    image counts, and the scales are weighted. ``released``: the sum of the pixel-domain VIF
    (Sheikh and Bovik 2006) with each source; the VIF of a source without any structure is 1.
    """
    if convention == "released":
        return _sum_of_vifs(images)
    total = images.zeros()
    for weight, (a, b, f), taps in zip(_HAN_WEIGHTS, _pyramid(images), _WINDOWS, strict=True):
        if weight:
            total += weight * _harder_to_see(local_moments(a, b, f, taps))
    return total / sum(_HAN_WEIGHTS)


def _pyramid(images: Triple) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    a, b, f = images.a, images.b, images.f
    yield a, b, f
    for taps in _WINDOWS[1:]:
        a, b, f = (filtered(image, taps, step=2) for image in (a, b, f))
        yield a, b, f


def _harder_to_see(m: LocalMoments) -> Tensor:
    """Return Han's VIFF of one scale: kept over present information, B values."""
    visible_f = functional.threshold(m.var_f, _FLAT, 0.0)
    a = _Seen.of(m.var_a, m.cov_af, visible_f, _HAN_NOISE)
    b = _Seen.of(m.var_b, m.cov_bf, visible_f, _HAN_NOISE)
    a_harder = (a.gain < b.gain).double()
    kept = torch.lerp(b.kept, a.kept, a_harder).log1p_()
    present = torch.lerp(b.present, a.present, a_harder).log1p_()
    # 1e-7 a pixel, for logarithms to base 10.
    least = 1e-7 * math.log(10) * kept[0].numel()
    return (kept.sum(dim=(1, 2)) + least) / (present.sum(dim=(1, 2)) + least)


def _sum_of_vifs(images: Triple) -> Tensor:
    kept, present = (torch.stack((images.zeros(), images.zeros()), dim=1) for _ in range(2))
    for (a, b, f), taps in zip(_pyramid(images), _WINDOWS, strict=True):
        m = local_moments(a, b, f, taps)
        visible_f = functional.threshold(m.var_f, _FLAT, 0.0)
        for source, (var, cov) in enumerate(((m.var_a, m.cov_af), (m.var_b, m.cov_bf))):
            seen = _Seen.of(var, cov, visible_f, _VIF_NOISE)
            kept[:, source] += seen.kept.log1p_().sum(dim=(1, 2))
            present[:, source] += seen.present.log1p_().sum(dim=(1, 2))
    return (kept / present).nan_to_num(nan=1.0).sum(dim=1)


class _Seen(NamedTuple):
    """Per pixel, how one source is seen through the fused image, each B x h x w."""

    gain: Tensor
    kept: Tensor
    """The signal-to-noise ratio that the fused image keeps."""
    present: Tensor
    """The signal-to-noise ratio of the source."""

    @staticmethod
    def of(var: Tensor, cov: Tensor, var_f: Tensor, noise: float) -> _Seen:
        """Return it for flat parts of `var_f` already 0; the gain is never negative."""
        gain = cov / functional.threshold(var, _FLAT, math.inf).add_(_FLAT)
        gain.clamp_(min=0).mul_(var_f > 0)
        present = functional.threshold(var, _FLAT, 0.0)
        rest = torch.addcmul(var_f, gain, cov, value=-1).clamp_(min=_FLAT).add_(noise)
        kept = gain.square().mul_(present).div_(rest)
        return _Seen(gain, kept, present.div_(noise))
