"""A convolution by tiles, and its gradients by tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.grad import conv2d_input

from fusion.layers.large_kernel.spectral import (
    Spectrum,
    Tiling,
    analyse,
    convolve,
    correlate,
    depthwise_gradient,
    kernel_gradient,
    synthesise,
)

CHUNK_BYTES = 512 << 20
"""Spectra of an image are computed in parts of about this size."""


def convolve_by_tiles(
    x: Tensor, spectrum: Spectrum, bias: Tensor | None, padding: int, kernel: int
) -> Tensor:
    """Map B x C x H x W to B x O x H' x W' by the `kernel_spectrum` of square kernels."""
    tile, c_out = spectrum[0].shape[0], spectrum[0].shape[-1]
    batch, _, height, width = x.shape
    size = batch, c_out, height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    image, target = _last(x), out.permute(0, 2, 3, 1)
    for part in parts(x, c_out, kernel, padding, tile):
        product = correlate(analyse(image[part.images], part.source, "image"), spectrum, "product")
        synthesise(product, target[part.images], part.target, bias)
    return out


def kernel_spectrum(weight: Tensor, tile: int, name: str = "kernel") -> Spectrum:
    """Return the spectrum of O x C x K x K weights, T x U x C x O each, in the buffer `name`."""
    c_out, c_in, kernel, _ = weight.shape
    taps = weight.detach().permute(2, 3, 1, 0).reshape(1, kernel, kernel, c_in * c_out)
    real, imag = analyse(taps, _kernel_tiling(tile, kernel), name)
    return real.view(tile, -1, c_in, c_out), imag.view(tile, -1, c_in, c_out)


def _kernel_tiling(tile: int, kernel: int) -> Tiling:
    return Tiling(tile, 0, kernel, kernel, 1, range(1))


@dataclass(frozen=True)
class Part:
    """Some images and tile columns of a convolution, with spectra of at most CHUNK_BYTES."""

    images: slice
    source: Tiling
    target: Tiling


def parts(x: Tensor, c_out: int, kernel: int, padding: int, tile: int) -> Iterator[Part]:
    """Yield the parts of a convolution of `x`, B x C x H x W, in the order of the images."""
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
            yield Part(slice(b, b + deep), source, Tiling(tile, 0, valid, valid, rows, span))


def _last(x: Tensor) -> Tensor:
    """Return B x C x H x W as contiguous B x H x W x C; free of cost when channels come last."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


class Spectral(torch.autograd.Function):
    """The layer with its gradients, all three by tiles."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, tile: int
    ) -> Tensor:
        """Return the layer's output by tiles of `tile` samples a side."""
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.tile = padding, tile
        return convolve_by_tiles(x, kernel_spectrum(weight, tile), bias, padding, weight.shape[-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, where they are asked for."""
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        c_out, c_in, kernel, _ = weight.shape
        tile, image, given = ctx.tile, _last(x), _last(grad)
        grad_x = torch.zeros_like(image) if needs_x else None
        spectrum = kernel_spectrum(weight, tile) if needs_x else None
        sums = None
        for part in parts(x, c_out, kernel, ctx.padding, tile):
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


class Depthwise(torch.autograd.Function):
    """A depth-wise layer: direct, but for the gradient of its weights, which is by tiles.

    torch's own gradient of 15 x 15 depth-wise weights takes thirty times as long as the layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        """Return what Conv2d does."""
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return torch.nn.functional.conv2d(x, weight, bias, 1, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, where they are asked for."""
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
        for part in parts(x, channels, kernel, ctx.padding, tile):
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
