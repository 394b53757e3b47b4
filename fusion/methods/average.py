"""Average: the mean of infrared and visible luminance.

Paper: none (the baseline every comparison should hold)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none
"""

from torch import Tensor

from fusion.method import FusionMethod


class Average(FusionMethod):
    """F = (A + B) / 2."""

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the mean of the two, B x 1 x H x W."""
        return (infrared + visible) / 2
