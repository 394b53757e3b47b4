"""FATFusion: features of a functional and an anatomical image, crossed at three widths.

Paper: FATFusion: A Functional-Anatomical Transformer for Medical Image Fusion, Information
    Processing & Management, 2024
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository has no licence file)
Checkpoint: the authors' model.pth (linked from their repository), which loads unchanged

Inference only. The infrared image is the MRI and the visible one its partner (PET, SPECT, CT),
which the network sees first; the two are treated alike but for the order in the last layer. The
published code fuses gray images; here the partner's luminance is fused and its colour kept.

The windows of its transformer hold a single token, so no attention takes place (see
`fusion.networks.fatfusion`). The weights hold layers that the network never uses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusion.method import FusionMethod
from fusion.networks.fatfusion import ChannelGate, TokenLayer, Unit


class FATFusion(FusionMethod):
    """FATFusion as published: 7.8 million parameters, all maps at full resolution."""

    needs_checkpoint: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.convInput, self.conv5, self.conv7 = Unit(1, 16, 3), Unit(16, 64, 5), Unit(64, 256, 7)
        self.conv1, self.conv2, self.conv3 = Unit(32, 16, 1), Unit(128, 64, 1), Unit(512, 256, 1)
        self.cam1, self.cam2 = ChannelGate(16, 4), ChannelGate(64, 8)
        self.cam3 = ChannelGate(256, 16)
        self.basicLayer1, self.basicLayer2 = TokenLayer(16), TokenLayer(64)
        self.basicLayer3 = TokenLayer(256)
        self.conv4 = Unit(336, 16, 1)
        self.convolutional_out = nn.Sequential(OrderedDict(conv=nn.Conv2d(32, 1, 1)))
        self._add_unused()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance in (0, 1), B x 1 x H x W, of two such tensors in [0, 1].

        `infrared` is the MRI, `visible` the functional image.
        """
        a, b = self._features(visible), self._features(infrared)
        first, second = self._merge(a, b), self._merge(b, a)
        crossed = [self._cross(1, first, second), self._cross(1, second, first)]
        return torch.sigmoid(self.convolutional_out(torch.cat(crossed, dim=1)))

    def _features(self, image: Tensor) -> list[Tensor]:
        narrow = self.convInput(image)
        middle = self.conv5(narrow)
        return [narrow, middle, self.conv7(middle)]

    def _merge(self, own: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
        crossed = [self._cross(n, own[n - 1], other[n - 1]) for n in (1, 2, 3)]
        merged: Tensor = self.conv4(torch.cat(crossed, dim=1))
        return merged

    def _cross(self, stage: int, own: Tensor, other: Tensor) -> Tensor:
        """Join the gated `own` features with the `other` ones by the modules of `stage`."""
        gate, unit, layer = (
            (self.cam1, self.conv1, self.basicLayer1),
            (self.cam2, self.conv2, self.basicLayer2),
            (self.cam3, self.conv3, self.basicLayer3),
        )[stage - 1]
        joined: Tensor = unit(torch.cat([gate(own) * own, other], dim=1))
        crossed: Tensor = layer(joined.mul_(gate(joined)))
        return crossed

    def _add_unused(self) -> None:
        """Add the layers that only the published weights know, so that these load strictly."""
        self.conv64, self.conv = Unit(64, 256, 3), Unit(128, 64, 3)
        self.conv16_16, self.conv64_16 = Unit(16, 16, 3), Unit(64, 16, 3)
        self.conv256_16 = Unit(256, 16, 3)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(96)))
        self.basicLayer4 = TokenLayer(448)
