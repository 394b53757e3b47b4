"""What a scanner measures: an image under coils, in the frequencies that a mask lets through.

Fourier transforms are orthonormal and not centred: low frequencies lie at the corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fusion.errors import InputError


def fourier(x: Tensor) -> Tensor:
    """Return the orthonormal two-dimensional transform, complex [..., H, W]."""
    transformed: Tensor = torch.fft.fft2(x, norm="ortho")
    return transformed


def image_of(k: Tensor) -> Tensor:
    """Return the image of a k-space, complex [..., H, W]: the inverse of `fourier`."""
    image: Tensor = torch.fft.ifft2(k, norm="ortho")
    return image


@dataclass(frozen=True, eq=False)
class Measurement:
    """The samples `y`, complex B x C x H x W and 0 where `mask` is; what they were measured with.

    `mask` is real, 0 or 1, and broadcasts to B x H x W; `maps`, the coils' sensitivities, to `y`.
    """

    y: Tensor
    mask: Tensor
    maps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return what would be measured of an image, complex B x H x W to B x C x H x W."""
        return self.masked * fourier(self.maps * x[:, None])

    def adjoint(self, k: Tensor) -> Tensor:
        """Return the adjoint of `forward`, complex B x C x H x W to B x H x W."""
        return self.combined(self.masked * k)

    def combined(self, k: Tensor) -> Tensor:
        """Return the coils' images of a whole k-space put together, B x H x W."""
        return (self.maps.conj() * image_of(k)).sum(1)

    @property
    def masked(self) -> Tensor:
        """The mask with an axis for the coils."""
        return self.mask.unsqueeze(-3)

    @property
    def zero_filled(self) -> Tensor:
        """The image that takes what was not measured to be 0, complex B x H x W."""
        return self.adjoint(self.y)


def measure(x: Tensor, mask: Tensor) -> Measurement:
    """Return what one coil that sees everything measures of an image, complex B x H x W.

    `mask` is real, H x W or B x H x W. Raises InputError where mask and image differ in size.
    """
    if mask.shape[-2:] != x.shape[-2:]:
        asked, given = ("x".join(map(str, one.shape[:-3:-1])) for one in (mask, x))
        raise InputError(
            f"The undersampling mask is {asked} and the image {given}; a mask must be drawn for "
            f"the size of its image."
        )
    maps = torch.ones(1, 1, 1, 1, dtype=x.dtype, device=x.device)
    mask = mask.to(x.real.dtype).to(x.device)
    return Measurement(mask.unsqueeze(-3) * fourier(x[:, None]), mask, maps)
