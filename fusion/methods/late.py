"""Late: no fusion; one network sees infrared, one visible, and what they find is joined.

Paper: none (a control: what a fused image is worth beside two networks, one for each source)
Licence: AGPL-3.0-or-later (ours)
Checkpoint: none

Detectors' boxes are joined by weighted box fusion, segmenters' probabilities by their mean.
"""

from typing import ClassVar

from torch import Tensor

from fusion.method import FusionMethod


class Late(FusionMethod):
    """The two networks are those of the rows `infrared` and `visible`."""

    joins: ClassVar[tuple[str, ...]] = ("infrared", "visible")

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the mean, B x 1 x H x W, which stands for both where one image is asked for."""
        return (infrared + visible) / 2
