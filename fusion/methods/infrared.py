"""Infrared: the infrared image alone, unfused.

Paper: none (a row that every comparison should hold)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none
"""

from typing import ClassVar, Literal

from torch import Tensor

from fusion.method import FusionMethod


class Infrared(FusionMethod):
    """F = A; on disk the infrared image itself, gray."""

    source: ClassVar[Literal["infrared", "visible"] | None] = "infrared"

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return `infrared`, B x 1 x H x W."""
        return infrared
