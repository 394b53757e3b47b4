"""A convolution layer for large kernels that computes the same result in far fewer operations.

`LargeKernelConv2d` is `torch.nn.Conv2d` (same arguments, weights, keys and gradients) that
chooses by shape between the direct convolution and overlap-save in the frequency domain (see the
module `spectral` beside this one): a dense 15 x 15 convolution of 128 channels takes 225
multiply-adds per pixel and pair of channels directly and about eight by tiles of 54 x 54. Results
agree to about 1e-6 relative in float32.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fusion.layers.large_kernel.autograd import (
    Depthwise,
    Spectral,
    convolve_by_tiles,
    kernel_spectrum,
)
from fusion.layers.large_kernel.cost import Problem, best_tile, direct_seconds
from fusion.layers.large_kernel.spectral import Spectrum

Algorithm = Literal["auto", "direct", "spectral"]
SPECTRA_BYTES = 2 << 30
"""Kernel spectra of all layers together are kept between images up to this size."""
DEPTHWISE_KERNEL = 7
"""Gradients of depth-wise kernels are computed by tiles from this size on."""

_ALGORITHM: ContextVar[Algorithm] = ContextVar("algorithm", default="auto")


@contextmanager
def algorithm(name: Algorithm) -> Iterator[None]:
    """Use one algorithm for all large kernels within the block; for tests and measurements."""
    token = _ALGORITHM.set(name)
    try:
        yield
    finally:
        _ALGORITHM.reset(token)


class LargeKernelConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that computes large kernels in the frequency domain where that is faster.

    The frequency domain serves dense square kernels of stride 1 and dilation 1 with zero padding
    on a CPU; there it wins from 5 x 5 upwards when channels are many. Everything else, and
    everything under ``torch.compile``, is the direct convolution. The working precision is
    float32 at least, whatever autocast says; the result has the type that Conv2d would give.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - Conv2d's name
        """Map B x C x H x W to B x O x H' x W', in channels-last memory when by tiles."""
        if self._depthwise(input):
            parts = input, self.weight, self.bias, int(self.padding[0])
            return Depthwise.apply(*parts)  # type: ignore[no-any-return]
        tile = self._tile(input)
        if tile is None:
            return super().forward(input)
        given = _result_type(input)
        exact = torch.promote_types(given, torch.float32)
        with torch.autocast(input.device.type, enabled=False):
            x, weight = input.to(exact), self.weight.to(exact)
            bias = None if self.bias is None else self.bias.to(exact)
            padding = int(self.padding[0])
            if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
                out = Spectral.apply(x, weight, bias, padding, tile)
            else:
                spectrum = self._spectrum(weight, tile)
                out = convolve_by_tiles(x, spectrum, bias, padding, self.kernel_size[0])
        return out.to(given)  # type: ignore[no-any-return]

    def _tile(self, x: Tensor) -> int | None:
        """Return the tile to use, or None for the direct convolution."""
        choice = _ALGORITHM.get()
        if choice == "direct" or not self._fits(x) or torch.compiler.is_compiling():
            return None
        known = self in _SPECTRA and not torch.is_grad_enabled()
        height, width, kernel = x.shape[-2], x.shape[-1], self.kernel_size[0]
        sizes = (x.shape[0], self.in_channels, self.out_channels, height, width)
        problem = Problem(*sizes, kernel, int(self.padding[0]), known)
        if min(problem.out_height, problem.out_width) < 1:
            return None
        tile, seconds = best_tile(problem)
        if choice == "spectral":
            return tile
        slow_here = x.device.type != "cpu" or direct_seconds(problem) <= seconds
        return None if slow_here else tile

    def _fits(self, x: Tensor) -> bool:
        return self.groups == 1 and x.ndim == 4 and x.numel() > 0 and self._plain()

    def _plain(self) -> bool:
        square = self.kernel_size[0] == self.kernel_size[1]
        dense = self.stride == self.dilation == (1, 1)
        same = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        return square and dense and same and self.padding[0] == self.padding[1]

    def _depthwise(self, x: Tensor) -> bool:
        """Whether this is a depth-wise layer that learns, whose own gradient is slow on a CPU."""
        single = self.groups == self.in_channels == self.out_channels > 1
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        exact = x.dtype == self.weight.dtype and not torch.is_autocast_enabled(x.device.type)
        here = x.device.type == "cpu" and not torch.compiler.is_compiling()
        wide = self.kernel_size[0] >= DEPTHWISE_KERNEL and _ALGORITHM.get() != "direct"
        return single and learns and exact and here and wide and x.ndim == 4 and self._plain()

    def _spectrum(self, weight: Tensor, tile: int) -> Spectrum:
        """Return the kernel's spectrum, kept from the image before while the weights last."""
        if self.weight.is_inference():  # such weights do not count their changes
            return kernel_spectrum(weight, tile)
        state = (tile, self.weight._version, self.weight.data_ptr(), weight.dtype)
        kept = _SPECTRA.get(self)
        if kept is not None and kept[0] == state:
            return kept[1]
        _SPECTRA.pop(self, None)
        size = 2 * tile * (tile // 2 + 1) * weight[:, :, 0, 0].numel() * weight.element_size()
        if size + sum(_bytes(spectrum) for _, spectrum in _SPECTRA.values()) > SPECTRA_BYTES:
            return kernel_spectrum(weight, tile)
        real, imag = kernel_spectrum(weight, tile, "image")
        with torch.inference_mode(False):  # what is kept serves training as well
            _SPECTRA[self] = state, (real.clone(), imag.clone())
        return _SPECTRA[self][1]


_SPECTRA: weakref.WeakKeyDictionary[nn.Module, tuple[Any, Spectrum]] = weakref.WeakKeyDictionary()


def _bytes(spectrum: Spectrum) -> int:
    return 2 * spectrum[0].numel() * spectrum[0].element_size()


def _result_type(x: Tensor) -> torch.dtype:
    """Return the type that Conv2d's result would have, autocast considered."""
    kind = x.device.type
    low = torch.is_autocast_enabled(kind) and x.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if low else x.dtype
