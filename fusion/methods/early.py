"""Early: no fusion; detector and segmenter see four channels, RGB and infrared.

Paper: none (a control: what a fused image is worth to a network that could have had both)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none

The four channels are kept as one PNG whose alpha is the infrared image: exact, one file a pair as
of any other method, so that whatever keeps, verifies or disturbs images does so here, too.
"""

from typing import ClassVar, Literal

from torch import Tensor

from fusion.method import FusionMethod


class Early(FusionMethod):
    """On disk both images; to look at, and for networks of three channels, their mean."""

    source: ClassVar[Literal["infrared", "visible", "both"] | None] = "both"

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the mean, B x 1 x H x W, which stands for both where one image is asked for."""
        return (infrared + visible) / 2
