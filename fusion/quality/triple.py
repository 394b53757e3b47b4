"""Two sources and their fused image, with everything that several metrics need, computed once."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

FUSED, INFRARED, VISIBLE = 0, 1, 2
"""Rows of `Triple.means` and `Triple.scatter`."""


class Triple:
    """A batch of fused images with their two sources, uint8 tensors B x H x W of one shape.

    What is cached lives as long as the object, so memory is bounded by the batch.
    """

    def __init__(self, fused: Tensor, infrared: Tensor, visible: Tensor) -> None:
        self.levels = (fused, infrared, visible)
        self.height, self.width = fused.shape[-2:]
        self.pixels = self.height * self.width

    def zeros(self) -> Tensor:
        """Return B float64 zeros on the images' device."""
        levels = self.levels[FUSED]
        return torch.zeros(len(levels), dtype=torch.float64, device=levels.device)

    @cached_property
    def f(self) -> Tensor:
        """The fused images as float64, B x H x W."""
        return self.levels[FUSED].double()

    @cached_property
    def a(self) -> Tensor:
        """The first (infrared) sources as float64, B x H x W."""
        return self.levels[INFRARED].double()

    @cached_property
    def b(self) -> Tensor:
        """The second (visible) sources as float64, B x H x W."""
        return self.levels[VISIBLE].double()

    @cached_property
    def _offsets_and_rest(self) -> tuple[Tensor, Tensor]:
        images = torch.stack((self.f, self.a, self.b), dim=1).flatten(2)
        offsets = images.mean(dim=2).floor_()
        return offsets, images.sub_(offsets[..., None])

    @cached_property
    def means(self) -> Tensor:
        """The mean grey levels, B x 3 (fused, infrared, visible)."""
        offsets, rest = self._offsets_and_rest
        return offsets + rest.sum(dim=2) / self.pixels

    @cached_property
    def scatter(self) -> Tensor:
        """The sums of products of deviations from the means, B x 3 x 3.

        An integer near the mean is taken off first: the sums are then of integers, exact in
        float64, so that the scatter of a constant image, or of a constant difference of two, is
        exactly 0.
        """
        _, rest = self._offsets_and_rest
        sums = rest.sum(dim=2)
        return rest @ rest.mT - sums[:, :, None] * sums[:, None, :] / self.pixels

    @cached_property
    def steps(self) -> tuple[Tensor, Tensor]:
        """The differences of vertical and of horizontal neighbours of the fused images."""
        return self.f.diff(dim=-2), self.f.diff(dim=-1)

    @cached_property
    def joint_infrared(self) -> Tensor:
        """The joint histogram of fused and infrared levels, int64 counts B x 256 x 256."""
        return self._joint(INFRARED)

    @cached_property
    def joint_visible(self) -> Tensor:
        """The joint histogram of fused and visible levels, int64 counts B x 256 x 256."""
        return self._joint(VISIBLE)

    def _joint(self, source: int) -> Tensor:
        size = len(self.levels[FUSED])
        place = torch.arange(size, device=self.levels[FUSED].device)[:, None, None] * 256
        bins = ((place + self.levels[FUSED]) * 256 + self.levels[source]).flatten()
        return torch.bincount(bins, minlength=size * 65536).view(size, 256, 256)
