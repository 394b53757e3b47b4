"""GroupNorm that stays exact on large images whose channels come last."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BLOCK = 256
"""Pixels whose squares are added up in float32; sums of blocks are added in float64."""


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` with statistics that do not lose digits to the size of the image.

    Without gradients, on a CPU, for float32 images whose channels come last: there torch adds the
    squares of a whole group up in float32, wrong by 4e-5 of the result at 640 x 480, where this
    is wrong by 4e-8 and takes 1.7 times as long. Training crops (64 x 64: 4e-7) take torch's.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise B x C x H x W over each group of channels, then scale and shift."""
        last = input.dtype == torch.float32 and input.is_contiguous(
            memory_format=torch.channels_last
        )
        if torch.is_grad_enabled() or input.device.type != "cpu" or not last:
            return super().forward(input)
        scale, shift = self._scale_and_shift(input)
        return torch.addcmul(shift[..., None, None], input, scale[..., None, None])

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each image's channels are multiplied with and what is added, B x C."""
        b, c, h, w = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
        whole = h * w // _BLOCK * _BLOCK
        sums, squares = torch.zeros(2, b, c, dtype=torch.float64)
        for part in (pixels[:, :whole].view(b, -1, _BLOCK, c), pixels[:, None, whole:]):
            sums += part.sum(2).sum(1, dtype=torch.float64)
            squares += torch.linalg.vector_norm(part, dim=2).double().square().sum(1)
        groups, count = self.num_groups, h * w * c // self.num_groups
        mean = sums.view(b, groups, -1).sum(2) / count
        variance = squares.view(b, groups, -1).sum(2) / count - mean.square()
        inverse = (variance.clamp_min(0) + self.eps).rsqrt()
        mean, inverse = (v.repeat_interleave(c // groups, 1) for v in (mean, inverse))
        scale = self.weight * inverse
        return scale.to(x.dtype), (self.bias - mean * scale).to(x.dtype)
