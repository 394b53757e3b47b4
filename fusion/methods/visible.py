"""Visible: the visible image alone, unfused.

Paper: none (a row that every comparison should hold)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none
"""

from typing import ClassVar, Literal

from torch import Tensor

from fusion.method import FusionMethod


class Visible(FusionMethod):
    """F = B; on disk the visible image itself, in colour when it has one."""

    source: ClassVar[Literal["infrared", "visible"] | None] = "visible"

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return `visible`, B x 1 x H x W."""
        return visible
