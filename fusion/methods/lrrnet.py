"""LRRNet: low-rank and sparse codes of each image by unfolded optimisation, fused by convolutions.

Paper: LRRNet: A Novel Representation Learning Guided Fusion Network for Infrared and Visible
    Images, IEEE Transactions on Pattern Analysis and Machine Intelligence, 2023
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository, https://github.com/hli1221/imagefusion-LRRNet, declares no licence)
Checkpoint: model/final_lrr_net_lam2_1.5_wir_3.0_lam3_gram_2000_epoch_4_block_4.model of that
    repository (commit e489fc32); sha256
    1de9dd8dee9b650ce69c74ea53e3b9a6b749222f1059a689aabf28f68ee63e29

Every image is stretched from its own minimum and maximum to [0, 1] before the network and again
after it, as in the authors' test script. The network's own output covers a narrow band only, so
the last stretch cannot be left out; one outlying pixel changes the contrast of its whole image, and
brightness is not comparable between frames. The authors then truncate to 8 bits where we round.

Inference only. The published loss needs the features of an ImageNet VGG-16; without them nothing
but the difference from the visible image would be left.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fusion.layers.framing import pad_to, stretch
from fusion.method import FusionMethod
from fusion.networks.lrrnet import Decoder, Encoder

EPSILON = 1e-5


class LRRNet(FusionMethod):
    """LRRNet as published: 128 low-rank and 128 sparse codes per image, four unfolded steps."""

    needs_checkpoint: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.get_ls1 = Encoder()
        self.get_ls2 = Encoder()
        self.decoder = Decoder()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        return stretch(self.raw(infrared, visible), EPSILON)

    def raw(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the network's own output, B x 1 x H x W, unbounded."""
        height, width = infrared.shape[-2:]
        # The authors stretch gray levels: in [0, 1] their epsilon would weigh 255 times as much.
        first, second = (pad_to(stretch(255 * x, EPSILON), least=2) for x in (infrared, visible))
        fused = [self._single(x[0], y[0]) for x, y in zip(first, second, strict=True)]
        return torch.stack(fused)[..., :height, :width]

    def _single(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Fuse one H x W pair: the codes of one image alone already take 315 MB at 480 x 640."""
        size = (infrared.shape[0], infrared.shape[1])
        x_low, x_sparse = self.decoder.infrared(self.get_ls1(infrared), size)
        y_low, y_sparse = self.decoder.visible(self.get_ls2(visible), size)
        fused: Tensor = self.decoder(torch.stack([x_low, y_low]), torch.stack([x_sparse, y_sparse]))
        return fused
