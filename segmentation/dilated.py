"""Dilated 3x3 convolutions without the work that cannot matter; equal to nn.Conv2d's to rounding.

At output stride 16 an image of 240x320 has a map of 15x20. A tap 24 or 36 pixels away then always
falls on the padding: of nine taps one is left. Where taps do reach the map, CPU libraries have
no fast code for the gradient of dilated depth-wise convolutions; two exact forms of them do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SMALLEST_PHASE = 4
"""Below so many pixels a side, the phases of a map are mostly padding, and shifts are faster."""

Span = tuple[int, slice, slice]


class DilatedConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1 whose padding is its dilation, by the cheapest exact form.

    Input B x C x H x W, output B x C' x H x W; weight and keys are those of nn.Conv2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x`."""
        step = self.dilation[0]
        if self.groups == self.in_channels == self.out_channels and x.device.type == "cpu":
            return self._depthwise(x, step)
        return self._reaching(x, step)

    def _reaching(self, x: Tensor, step: int) -> Tensor:
        """Leave out the rows and columns of taps that lie outside the map wherever they stand."""
        rows, columns = (slice(1, 2) if step >= side else slice(0, 3) for side in x.shape[2:])
        weight = self.weight[:, :, rows, columns]
        padding = [step if side == 3 else 0 for side in weight.shape[2:]]
        return F.conv2d(x, weight, self.bias, 1, padding, step, self.groups)

    def _depthwise(self, x: Tensor, step: int) -> Tensor:
        if min(x.shape[2:]) < SMALLEST_PHASE * step:
            y: Tensor = _Shifts.apply(x, self.weight, step)
        elif torch.is_grad_enabled():
            y = by_phases(x, self.weight, step)
        else:  # only the gradients are slow
            return self._reaching(x, step)
        return y if self.bias is None else y + self.bias.view(1, -1, 1, 1)


def use_dilated(model: nn.Module) -> None:
    """Put `DilatedConv2d` in the place of the convolutions of `model` that it can stand for."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and _suits(child):
                setattr(parent, name, _like(child))


def by_phases(x: Tensor, weight: Tensor, step: int) -> Tensor:
    """Return a dilated depth-wise convolution as an undilated one of step^2 smaller maps.

    Pixels of equal row and column modulo `step` never meet the others, so that they may be put
    together as maps of their own. `x` is B x C x H x W, `weight` C x 1 x 3 x 3.
    """
    batch, channels, height, width = x.shape
    rows, columns = -(-height // step), -(-width // step)
    if (rows * step, columns * step) != (height, width):
        x = F.pad(x, (0, columns * step - width, 0, rows * step - height))
    split = x.permute(0, 2, 3, 1).reshape(batch, rows, step, columns, step, channels)
    maps = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels)
    y = F.conv2d(maps.permute(0, 3, 1, 2), weight, padding=1, groups=channels)
    split = y.permute(0, 2, 3, 1).reshape(step, step, batch, rows, columns, channels)
    whole = split.permute(2, 3, 0, 4, 1, 5).reshape(batch, rows * step, columns * step, channels)
    return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)


class _Shifts(torch.autograd.Function):
    """A dilated depth-wise convolution as the sum of the map and its shifted copies, scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, step: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.step = step
        y = x * _tap(weight, 1, 1)
        for (i, source_rows, rows), (j, source_columns, columns) in _around(x, step):
            source = x[:, :, source_rows, source_columns]
            y[:, :, rows, columns].addcmul_(source, _tap(weight, i, j))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight = grad * _tap(weight, 1, 1), torch.zeros_like(weight)
        to_weight[:, 0, 1, 1] = (x * grad).sum((0, 2, 3))
        for (i, source_rows, rows), (j, source_columns, columns) in _around(x, ctx.step):
            part = grad[:, :, rows, columns]
            to_x[:, :, source_rows, source_columns].addcmul_(part, _tap(weight, i, j))
            products = x[:, :, source_rows, source_columns] * part
            to_weight[:, 0, i, j] = products.sum((0, 2, 3))
        return to_x, to_weight, None


def _tap(weight: Tensor, i: int, j: int) -> Tensor:
    return weight[:, 0, i, j].view(1, -1, 1, 1)


def _around(x: Tensor, step: int) -> Iterator[tuple[Span, Span]]:
    """Yield the taps but the middle one: per axis its index, where it reads, where it adds."""
    for row in _spans(x.shape[2], step):
        for column in _spans(x.shape[3], step):
            if (row[0], column[0]) != (1, 1):
                yield row, column


def _spans(side: int, step: int) -> list[Span]:
    whole, start, end = slice(0, side), slice(0, max(side - step, 0)), slice(step, side)
    return [(1, whole, whole)] + ([(0, start, end), (2, end, start)] if step < side else [])


def _suits(conv: nn.Conv2d) -> bool:
    step = conv.dilation[0]
    return (
        step > 1
        and conv.kernel_size == (3, 3)
        and conv.stride == (1, 1)
        and conv.dilation == conv.padding == (step, step)
        and conv.padding_mode == "zeros"
    )


def _like(conv: nn.Conv2d) -> DilatedConv2d:
    """Return the same convolution with the same parameters, without drawing a random number."""
    step, bias = conv.dilation[0], conv.bias is not None
    sizes = conv.in_channels, conv.out_channels, 3, 1, step, step, conv.groups
    new = DilatedConv2d(*sizes, bias=bias, device="meta")
    new.weight, new.bias = conv.weight, conv.bias
    return new.train(conv.training)
