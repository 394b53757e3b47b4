"""SSIM, the similarity of local structure, under two windows."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fusion.quality.settings import Convention
from fusion.quality.triple import Triple
from fusion.quality.windows import LocalMoments, gaussian_taps, local_moments

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_GAUSSIAN, _UNIFORM = gaussian_taps(11, 1.5), (1 / 7,) * 7
_SAMPLE = 49 / 48
"""Sample over population covariance of a 7 x 7 window."""


def structural_similarity(images: Triple, convention: Convention) -> Tensor:
    """SSIM of the fused image with the two sources (Wang et al. 2004, L = 255).

    ``paper``: the mean of the two, Gaussian 11 x 11 window of sigma 1.5, population moments,
    replicated border, mean over the full map (as MATLAB's ``ssim``). ``released``: their sum,
    uniform 7 x 7 window, sample moments, mean over the map without 3 pixels on each side (as
    scikit-image's default).
    """
    first, second = ssim_maps(images, convention)
    total = first.mean(dim=(1, 2)) + second.mean(dim=(1, 2))
    return total if convention == "released" else total / 2


def ssim_maps(images: Triple, convention: Convention) -> tuple[Tensor, Tensor]:
    """Return the maps whose means are SSIM(F, A) and SSIM(F, B), each B x h x w."""
    if convention == "released":
        return _maps(local_moments(images.a, images.b, images.f, _UNIFORM), _SAMPLE)
    a, b, f = (functional.pad(x, (5, 5, 5, 5), "replicate") for x in (images.a, images.b, images.f))
    return _maps(local_moments(a, b, f, _GAUSSIAN), 1.0)


def _maps(m: LocalMoments, sample: float) -> tuple[Tensor, Tensor]:
    f, var_f = m.mean_f, m.var_f
    return (
        _map(m.mean_a, f, m.cov_af, m.var_a + var_f, sample),
        _map(m.mean_b, f, m.cov_bf, m.var_b + var_f, sample),
    )


def _map(x: Tensor, f: Tensor, cov: Tensor, variances: Tensor, sample: float) -> Tensor:
    light = (x * f).mul_(2).add_(_C1).div_((x * x).addcmul_(f, f).add_(_C1))
    contrast = (cov * (2 * sample)).add_(_C2).div_(variances.mul_(sample).add_(_C2))
    return light.mul_(contrast)
