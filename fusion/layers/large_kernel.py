"""A convolution layer for large kernels that computes the same result in far fewer operations.

`LargeKernelConv2d` is `torch.nn.Conv2d` (same arguments, weights, keys and gradients) that
chooses by shape between the direct convolution and overlap-save in the frequency domain
(`fusion.layers.spectral`): a dense 15 x 15 convolution of 128 channels takes 225 multiply-adds
per pixel and pair of channels directly and about eight by tiles of 54 x 54. Results agree to
about 1e-6 relative in float32.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from fusion.layers.spectral import (
    Spectrum,
    Tiling,
    analyse,
    convolve,
    correlate,
    depthwise_gradient,
    kernel_gradient,
    synthesise,
)

Algorithm = Literal["auto", "direct", "spectral"]
SPECTRA_BYTES = 2 << 30
"""Kernel spectra of all layers together are kept between images up to this size."""
CHUNK_BYTES = 512 << 20
"""Spectra of an image are computed in parts of about this size."""
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


@dataclass(frozen=True)
class Problem:
    """The sizes of one convolution of square kernels, stride 1."""

    batch: int
    c_in: int
    c_out: int
    height: int
    width: int
    kernel: int
    padding: int
    kernel_known: bool
    """Whether the kernel's spectrum is at hand from an earlier image."""

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self.height + 2 * self.padding - self.kernel + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.width + 2 * self.padding - self.kernel + 1


# Multiply-adds, bytes and calls a second of one core, fitted to the measurements in
# benchmarks/NOTES.md (10 % r.m.s.). Only their ratios decide, and the choice is flat about its
# optimum, so one set serves all machines.
_DIRECT, _PRODUCT, _BYTES, _CALL = 105e9, 100e9, 18e9, 4e-6


def direct_seconds(p: Problem) -> float:
    """Return the predicted time of the direct convolution on one core."""
    fill = min(p.c_in, 16) / 16 * min(p.c_out, 16) / 16  # lanes of a vector that have work
    macs = p.batch * p.out_height * p.out_width * p.c_in * p.c_out * p.kernel**2
    return 2 * macs / (_DIRECT * fill)


def spectral_seconds(p: Problem, tile: int) -> float:
    """Return the predicted time of overlap-save with tiles of `tile` samples a side."""
    valid, half = tile - p.kernel + 1, tile // 2 + 1
    rows, columns = -(-p.out_height // valid), -(-p.out_width // valid)
    count, pairs, points = p.batch * rows * columns, p.c_in * p.c_out, tile * half
    lines = p.batch * p.height * columns * 2 * half
    macs = lines * (tile * p.c_in + valid * p.c_out)
    macs += 4 * count * points * (tile * p.c_in + valid * p.c_out)
    # Products with few rows or columns do not fill the machine's registers.
    macs += 4 * points * (count + 12) * (p.c_in + 12) * (p.c_out + 12)
    floats = 4 * lines * (p.c_in + p.c_out) + points * count * (6 * p.c_in + 10 * p.c_out)
    floats += 4 * points * pairs
    calls = 8 * count + 6 * tile + 4 * columns
    if not p.kernel_known:
        macs += pairs * p.kernel * (2 * half * p.kernel + 4 * points)
        floats += pairs * (8 * half * p.kernel + 6 * points)
    return 2 * macs / _PRODUCT + 4 * floats / _BYTES + _CALL * calls


@lru_cache(maxsize=1024)
def best_tile(p: Problem) -> tuple[int, float]:
    """Return the tile that is predicted to be fastest, and its seconds."""
    largest = max(p.out_height, p.out_width) + p.kernel - 1
    tiles = range(p.kernel, min(largest, 8 * p.kernel) + 1)
    return min(((t, spectral_seconds(p, t)) for t in tiles), key=lambda pair: pair[1])


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
            return _Depthwise.apply(*parts)  # type: ignore[no-any-return]
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
                out = _Spectral.apply(x, weight, bias, padding, tile)
            else:
                out = _forward(x, self._spectrum(weight, tile), bias, padding, self.kernel_size[0])
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
            return _kernel_spectrum(weight, tile)
        state = (tile, self.weight._version, self.weight.data_ptr(), weight.dtype)
        kept = _SPECTRA.get(self)
        if kept is not None and kept[0] == state:
            return kept[1]
        _SPECTRA.pop(self, None)
        size = 2 * tile * (tile // 2 + 1) * weight[:, :, 0, 0].numel() * weight.element_size()
        if size + sum(_bytes(spectrum) for _, spectrum in _SPECTRA.values()) > SPECTRA_BYTES:
            return _kernel_spectrum(weight, tile)
        real, imag = _kernel_spectrum(weight, tile, "image")
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


def _kernel_spectrum(weight: Tensor, tile: int, name: str = "kernel") -> Spectrum:
    """Return the spectrum of O x C x K x K weights, T x U x C x O each, in the buffer `name`."""
    c_out, c_in, kernel, _ = weight.shape
    taps = weight.detach().permute(2, 3, 1, 0).reshape(1, kernel, kernel, c_in * c_out)
    real, imag = analyse(taps, _kernel_tiling(tile, kernel), name)
    return real.view(tile, -1, c_in, c_out), imag.view(tile, -1, c_in, c_out)


def _kernel_tiling(tile: int, kernel: int) -> Tiling:
    return Tiling(tile, 0, kernel, kernel, 1, range(1))


@dataclass(frozen=True)
class _Part:
    """Some images and tile columns of a convolution, with spectra of at most CHUNK_BYTES."""

    images: slice
    source: Tiling
    target: Tiling


def _parts(x: Tensor, c_out: int, kernel: int, padding: int, tile: int) -> Iterator[_Part]:
    batch, c_in, height, width = x.shape
    valid = tile - kernel + 1
    rows, columns = (-(-(s + 2 * padding - kernel + 1) // valid) for s in (height, width))
    column = 2 * rows * tile * (tile // 2 + 1) * (c_in + c_out) * x.element_size()
    wide = max(1, min(columns, CHUNK_BYTES // column))
    deep = max(1, CHUNK_BYTES // (column * columns)) if wide == columns else 1
    for b in range(0, batch, deep):
        for c in range(0, columns, wide):
            span = range(c, min(columns, c + wide))
            source = Tiling(tile, -padding, valid, tile, rows, span)
            yield _Part(slice(b, b + deep), source, Tiling(tile, 0, valid, valid, rows, span))


def _forward(
    x: Tensor, spectrum: Spectrum, bias: Tensor | None, padding: int, kernel: int
) -> Tensor:
    tile, c_out = spectrum[0].shape[0], spectrum[0].shape[-1]
    batch, _, height, width = x.shape
    size = batch, c_out, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    image, target = _last(x), out.permute(0, 2, 3, 1)
    for part in _parts(x, c_out, kernel, padding, tile):
        product = correlate(analyse(image[part.images], part.source, "image"), spectrum, "product")
        synthesise(product, target[part.images], part.target, bias)
    return out


def _last(x: Tensor) -> Tensor:
    """Return B x C x H x W as contiguous B x H x W x C; free of cost when channels come last."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


class _Spectral(torch.autograd.Function):
    """The layer with its gradients, all three by tiles."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, tile: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.tile = padding, tile
        return _forward(x, _kernel_spectrum(weight, tile), bias, padding, weight.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        c_out, c_in, kernel, _ = weight.shape
        tile, image, given = ctx.tile, _last(x), _last(grad)
        grad_x = torch.zeros_like(image) if needs_x else None
        spectrum = _kernel_spectrum(weight, tile) if needs_x else None
        sums = None
        for part in _parts(x, c_out, kernel, ctx.padding, tile):
            errors = analyse(given[part.images], part.target, "errors")
            if needs_weight:
                seen = analyse(image[part.images], part.source, "image")
                sums = kernel_gradient(seen, errors, "sums", add=sums is not None)
            if grad_x is not None and spectrum is not None:
                back = convolve(errors, spectrum, "image")
                synthesise(back, grad_x[part.images], part.source)
        grad_weight = None
        if sums is not None:
            taps = weight.new_empty(1, kernel, kernel, c_in * c_out)
            flat = tuple(p.view(tile, 1, -1, c_in * c_out) for p in sums)
            synthesise(flat, taps, _kernel_tiling(tile, kernel))  # type: ignore[arg-type]
            grad_weight = taps.view(kernel, kernel, c_in, c_out).permute(3, 2, 0, 1).contiguous()
        grad_bias = given.sum((0, 1, 2)) if needs_bias else None
        out_x = None if grad_x is None else grad_x.permute(0, 3, 1, 2)
        return out_x, grad_weight, grad_bias, None, None


class _Depthwise(torch.autograd.Function):
    """A depth-wise layer: direct, but for the gradient of its weights, which is by tiles.

    torch's own gradient of 15 x 15 depth-wise weights takes thirty times as long as the layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return torch.nn.functional.conv2d(x, weight, bias, 1, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0]:
            pad = ctx.padding
            size, groups = list(x.shape), len(weight)
            grad_x = conv2d_input(size, weight, grad, padding=pad, groups=groups)  # type: ignore[no-untyped-call]
        channels, _, kernel, _ = weight.shape
        image, given = _last(x), _last(grad)
        tile = min(max(given.shape[1:3]) + kernel - 1, 6 * kernel)
        sums = None
        for part in _parts(x, channels, kernel, ctx.padding, tile):
            errors = analyse(given[part.images], part.target, "errors")
            seen = analyse(image[part.images], part.source, "image")
            sums = depthwise_gradient(seen, errors, "sums", add=sums is not None)
        grad_weight = None
        if sums is not None:
            taps = weight.new_empty(1, kernel, kernel, channels)
            flat = sums[0].unsqueeze(1), sums[1].unsqueeze(1)
            synthesise(flat, taps, _kernel_tiling(tile, kernel))
            grad_weight = taps[0].permute(2, 0, 1).unsqueeze(1).contiguous()
        grad_bias = given.sum((0, 1, 2)) if ctx.needs_input_grad[2] else None
        return grad_x, grad_weight, grad_bias, None
