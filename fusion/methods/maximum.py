"""Maximum: the brighter of infrared and visible luminance at every pixel.

Paper: none (the baseline that intensity losses aim at)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none
"""

import torch
from torch import Tensor

from fusion.method import FusionMethod


class Maximum(FusionMethod):
    """F = max(A, B)."""

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the elementwise maximum, B x 1 x H x W."""
        return torch.maximum(infrared, visible)
