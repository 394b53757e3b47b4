"""Laplacian: the stronger detail of either image at every scale of a Laplacian pyramid.

Paper: Burt and Adelson, The Laplacian Pyramid as a Compact Image Code, IEEE Trans. Commun. 31(4),
    1983, https://doi.org/10.1109/TCOM.1983.1095851 (pyramid; fusion by larger detail: Burt 1984)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.errors import InputError
from fusion.method import FusionMethod


class Laplacian(FusionMethod):
    """Detail by larger absolute value at `levels` scales, the remaining base by the mean."""

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        if type(levels) is not int or not 1 <= levels <= 12:
            raise InputError(f"laplacian: levels is {levels!r}; use a whole number from 1 to 12.")
        self.levels = levels

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, for any H and W."""
        details = []
        for _ in range(self.levels):
            infrared, first = _split(infrared)
            visible, second = _split(visible)
            details.append(torch.where(first.abs() >= second.abs(), first, second))
        fused = (infrared + visible) / 2
        for detail in reversed(details):
            fused = detail + _expand(fused, detail)
        return fused


def _split(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the image at half size, and the detail that this loses."""
    half = (_blur(image) / _blur(torch.ones_like(image[:1])))[..., ::2, ::2]
    return half, image - _expand(half, image)


def _expand(half: Tensor, like: Tensor) -> Tensor:
    """Return `half` at the size of `like`; dividing by the weights keeps borders unbiased."""
    spread, weight = torch.zeros_like(like), torch.zeros_like(like[:1])
    spread[..., ::2, ::2] = half
    weight[..., ::2, ::2] = 1.0
    return _blur(spread) / _blur(weight)


def _blur(image: Tensor) -> Tensor:
    """Convolve with Burt's 5-tap kernel (a = 0.375, zero padding), rows then columns."""
    taps = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
    rows = F.conv2d(image, taps.view(1, 1, 5, 1), padding=(2, 0))
    return F.conv2d(rows, taps.view(1, 1, 1, 5), padding=(0, 2))
