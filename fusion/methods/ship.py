"""SHIP: features of both images multiplied again and again, over space and over channels.

Paper: Probing Synergistic High-Order Interaction in Infrared and Visible Image Fusion, CVPR 2024
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository, https://github.com/zheng980629/SHIP, has no licence file)
Checkpoint: SHIP_model.pth (2.4 MB, sha256
    e61783e79144d5c9da6681b833ad64624ed2e61f6a533fd18ab896349e3f7329), in the authors' repository
    under pretrained_model; it loads unchanged

Inference only. The network sees the visible and the infrared luminance in [0, 1] at their own
size; its linear output, which leaves that range on real images, is clamped and not stretched. The
authors' script differs in two details that vanish for a gray infrared image: it takes the red
channel of the infrared image instead of its luminance, and it converts colours in floating point
instead of 8 bits.

A circular convolution over the whole image is part of every interaction, so a crop fused alone
differs from the same crop of the fused image.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fusion.method import FusionMethod
from fusion.networks.ship.blocks import FeatureExtract, Invertible, Refinement, conv
from fusion.networks.ship.interaction import Interaction

WIDTH = 16


class SHIP(FusionMethod):
    """SHIP as published: 16 channels, three interactions, 547 509 parameters."""

    needs_checkpoint: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.vis = FeatureExtract(WIDTH)
        self.inf = FeatureExtract(WIDTH)
        self.interaction1 = Interaction(WIDTH)
        self.interaction2 = Interaction(WIDTH)
        self.interaction3 = Interaction(WIDTH)
        every = 3 * WIDTH
        self.postprocess = nn.Sequential(Invertible(every, every // 2), conv(every, WIDTH, 1))
        self.reconstruction = Refinement(WIDTH)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, not clamped, of two such in [0, 1]."""
        v, i = self.vis(visible), self.inf(infrared)
        stages = []
        for interaction in (self.interaction1, self.interaction2, self.interaction3):
            v, i = interaction(v, i)
            stages.append(v)
        fused: Tensor = self.reconstruction(self.postprocess(torch.cat(stages, dim=1)))
        return fused
