"""Convolution by tiles in the frequency domain, with every transform a matrix product.

Overlap-save: an image is cut into square tiles that overlap by kernel - 1, a tile's spectrum is
multiplied by the kernel's at each frequency, and the part of the product's inverse transform that
has not wrapped around is kept (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7.3).
Here the discrete Fourier transform of a tile of T samples is a product with a T x T matrix of
cosines and sines. That costs more operations than a fast transform, but they run at the speed of
a matrix product, read tiles where they lie and leave spectra in the order that the products over
channels want, so nothing is ever permuted.

Images are B x H x W x C (channels last). Spectra are pairs (real, imaginary) of tensors
T x N x U x C: vertical frequency, tile, horizontal frequency 0 ... T / 2 (the others follow by
symmetry, since images are real), channel. A kernel is an image of one tile whose channels are its
pairs of channels, so `analyse` and `synthesise` serve images, kernels and all gradients.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Spectrum = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Tiling:
    """Tiles of `tile` samples a side; tile (i, j) starts at `origin` + (i, j) * `step`.

    Of each tile the first `length` samples a side are read or written, as far as they lie within
    the image; what is outside reads as zero. `columns` and `rows` count the tiles.
    """

    tile: int
    origin: int
    step: int
    length: int
    rows: int
    columns: range

    def spans(self, indices: range, size: int) -> Iterator[tuple[int, slice, slice]]:
        """Yield (index, part of the image, the same part within the tile)."""
        for index in indices:
            start = self.origin + index * self.step
            first, last = max(0, -start), min(self.length, size - start)
            yield index, slice(start + first, start + last), slice(first, last)

    @property
    def half(self) -> int:
        """The number of horizontal frequencies that are kept."""
        return self.tile // 2 + 1


def analyse(image: Tensor, tiling: Tiling, name: str) -> Spectrum:
    """Return the spectra of the tiles of `image`, B x H x W x C, in the buffer `name`."""
    batch, height, width, channels = image.shape
    tile, half, count = tiling.tile, tiling.half, batch * tiling.rows * len(tiling.columns)
    real, imag = buffer(image, name, 2, tile, count, half, channels)
    lines = buffer(image, "lines", batch, height, 2, half, channels)
    cos, sin = _waves(tile, image.dtype, image.device)
    across = torch.cat([cos[:half], -sin[:half]])
    position = 0
    for _, columns, inner in tiling.spans(tiling.columns, width):
        matrix = across[:, inner].contiguous().expand(batch * height, -1, -1)
        piece = image[:, :, columns].flatten(0, 1)
        torch.bmm(matrix, piece, out=lines.view(batch * height, 2 * half, channels))
        for b in range(batch):
            for _, rows, within in tiling.spans(range(tiling.rows), height):
                even, odd = lines[b, rows].flatten(2).unbind(1)
                c, s = cos[:, within], sin[:, within]
                _turn(c, s, even, odd, real[:, position], imag[:, position])
                position += 1
    return real, imag


def synthesise(
    spectrum: Spectrum, image: Tensor, tiling: Tiling, bias: Tensor | None = None
) -> None:
    """Write the inverse transform of the tiles into `image`, plus `bias` per channel.

    Where tiles overlap (length > step) they are added up; then `image` must start as zeros.
    """
    batch, height, width, channels = image.shape
    half, overlap = tiling.half, tiling.length > tiling.step
    lines = buffer(image, "lines", batch, height, 2, half, channels)
    cos, sin = _waves(tiling.tile, image.dtype, image.device)
    across = _inverse(cos[:, :half], sin[:, :half])
    position = 0
    for _, columns, inner in tiling.spans(tiling.columns, width):
        if overlap:
            lines.zero_()
        for b in range(batch):
            for _, rows, within in tiling.spans(range(tiling.rows), height):
                real, imag = (part[:, position].flatten(1) for part in spectrum)
                even, odd = lines[b, rows].flatten(2).unbind(1)
                _turn(cos[within], -sin[within], real, imag, even, odd, add=overlap)
                position += 1
        matrix = across[inner].expand(batch * height, -1, -1)
        piece = buffer(image, "piece", batch * height, matrix.shape[1], channels)
        torch.bmm(matrix, lines.view(batch * height, 2 * half, channels), out=piece)
        target, piece = image[:, :, columns], piece.view(batch, height, -1, channels)
        if overlap:
            target.add_(piece)
        elif bias is None:
            target.copy_(piece)
        else:
            torch.add(piece, bias, out=target)


def correlate(image: Spectrum, kernel: Spectrum, name: str) -> Spectrum:
    """Return image x conj(kernel) summed over channels: the cross-correlation that layers do.

    `image` is T x N x U x C, `kernel` T x U x C x O, the result T x N x U x O in the buffer `name`.
    """
    return _multiply(image, (kernel[0], kernel[1]), -1, name)


def convolve(image: Spectrum, kernel: Spectrum, name: str) -> Spectrum:
    """Return image x kernel summed over the kernel's last axis: the gradient of the input.

    `image` is T x N x U x O, `kernel` T x U x C x O, the result T x N x U x C in the buffer `name`.
    """
    return _multiply(image, (kernel[0].transpose(2, 3), kernel[1].transpose(2, 3)), 1, name)


def _multiply(image: Spectrum, kernel: Spectrum, sign: int, name: str) -> Spectrum:
    """Return the product over channels at every frequency; `sign` is that of the kernel's sine."""
    tile, count, half, _ = image[0].shape
    channels = kernel[0].shape[-1]
    out = buffer(image[0], name, 2, tile, count, half, channels)
    total = buffer(image[0], "total", half, count, channels)
    for v in range(tile):
        real, imag = (part[v].transpose(0, 1) for part in image)
        for part, first, second, turn in ((0, real, imag, -sign), (1, imag, real, sign)):
            # A contiguous sum: only into such do batched products run in parallel.
            torch.bmm(first, kernel[0][v], out=total)
            total.baddbmm_(second, kernel[1][v], alpha=turn)
            out[part, v].copy_(total.transpose(0, 1))
    return out[0], out[1]


def kernel_gradient(image: Spectrum, grad: Spectrum, name: str, add: bool) -> Spectrum:
    """Return image x conj(grad) summed over tiles, T x U x C x O: the gradient of the kernel.

    `image` is T x N x U x C and `grad`, the spectra of the output's gradient, T x N x U x O. With
    `add` the sum goes on from what the buffer `name` holds.
    """
    tile, _, half, c_in = image[0].shape
    out = buffer(image[0], name, 2, tile, half, c_in, grad[0].shape[-1])
    beta = 1 if add else 0
    for v in range(tile):
        real, imag = (part[v].permute(1, 2, 0) for part in image)
        g_real, g_imag = (part[v].transpose(0, 1) for part in grad)
        out[0, v].baddbmm_(real, g_real, beta=beta).baddbmm_(imag, g_imag)
        out[1, v].baddbmm_(imag, g_real, beta=beta).baddbmm_(real, g_imag, alpha=-1)
    return out[0], out[1]


def depthwise_gradient(image: Spectrum, grad: Spectrum, name: str, add: bool) -> Spectrum:
    """Return image x conj(grad) summed over tiles, T x U x C, channel by channel.

    Both arguments are T x N x U x C; `add` is that of `kernel_gradient`.
    """
    tile, count, half, channels = image[0].shape
    out = buffer(image[0], name, 2, tile, half, channels)
    product = buffer(image[0], "total", count, half, channels)
    for v in range(tile):
        real, imag, g_real, g_imag = (part[v] for part in (*image, *grad))
        total = torch.mul(real, g_real, out=product).addcmul_(imag, g_imag).sum(0)
        out[0, v] = out[0, v] + total if add else total
        total = torch.mul(imag, g_real, out=product).addcmul_(real, g_imag, value=-1).sum(0)
        out[1, v] = out[1, v] + total if add else total
    return out[0], out[1]


def _turn(
    cos: Tensor, sin: Tensor, real: Tensor, imag: Tensor, to_real: Tensor, to_imag: Tensor,
    add: bool = False,
) -> None:  # fmt: skip
    """Multiply the columns of a complex matrix by cos - i sin, into strided targets."""
    beta = 1 if add else 0
    to_real, to_imag = to_real.flatten(1), to_imag.flatten(1)
    to_real.addmm_(cos, real, beta=beta).addmm_(sin, imag)
    to_imag.addmm_(cos, imag, beta=beta).addmm_(sin, real, alpha=-1)


@lru_cache(maxsize=64)
def _waves(tile: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cos and sin of 2 pi f n / tile, both tile x tile and symmetric."""
    with torch.inference_mode(False):
        n = torch.arange(tile)
        angle = torch.outer(n, n).remainder(tile).double() * (2 * math.pi / tile)
        return angle.cos().to(device, dtype), angle.sin().to(device, dtype)


def _inverse(cos: Tensor, sin: Tensor) -> Tensor:
    """Return the matrix from half a spectrum (real parts, then imaginary ones) to real samples."""
    tile, half = cos.shape
    weight = torch.full((half,), 2.0 / tile**2, dtype=cos.dtype, device=cos.device)
    weight[0] /= 2  # frequencies that are their own mirror image count once
    if tile % 2 == 0:
        weight[-1] /= 2
    return torch.cat([cos * weight, -sin * weight], dim=1)


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.flat: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}


_BUFFERS = _Buffers()


def buffer(like: Tensor, name: str, *shape: int) -> Tensor:
    """Return uninitialised memory of `shape`, the same at every call of this thread.

    Fresh memory of this size costs a page fault every 4 KB, as much as the transforms themselves.
    """
    count, key = math.prod(shape), (name, like.dtype, like.device)
    flat = _BUFFERS.flat.get(key)
    if flat is None or flat.numel() < count:
        _BUFFERS.flat.pop(key, None)
        with torch.inference_mode(False):  # such memory serves training as well
            flat = torch.empty(count, dtype=like.dtype, device=like.device)
        _BUFFERS.flat[key] = flat
    return flat[:count].view(shape)
