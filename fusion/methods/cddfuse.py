"""CDDFuse: shared base and separate detail features by Restormer and invertible branches.

Paper: CDDFuse: Correlation-Driven Dual-Branch Feature Decomposition for Multi-Modality Image
    Fusion, CVPR 2023, https://arxiv.org/abs/2211.14461
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository, https://github.com/Zhaozixiang1228/MMIF-CDDFuse, declares no licence)
Checkpoint: models/CDDFuse_IVF.pth (infrared) or models/CDDFuse_MIF.pth (medical) of the authors'
    repository; both fit the same network

Inference only. The authors stretch each fused image to fill [0, 1]. That changes brightness and
contrast from image to image, so it is off by default and the network's own values are clipped;
``stretch=True`` (preset `official`) does it. Attention statistics run over the whole image, hence
images of a batch are fused one by one and never cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusion.layers.choices import require_switch
from fusion.layers.framing import pad_to, stretch
from fusion.layers.restormer import DenseBlock
from fusion.method import FusionMethod
from fusion.networks.cddfuse import WIDTH, Decoder, DetailStack, Encoder


class CDDFuse(FusionMethod):
    """CDDFuse; with `stretch` the result's minimum becomes 0 and its maximum 1.

    Raises InputError when `stretch` is not a truth value.
    """

    needs_checkpoint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"official": {"stretch": True}}
    nested: ClassVar[Mapping[str, str]] = {
        "DIDF_Encoder": "encoder.",
        "DIDF_Decoder": "decoder.",
        "BaseFuseLayer": "base_fuser.",
        "DetailFuseLayer": "detail_fuser.",
    }

    def __init__(self, *, stretch: bool = False):
        super().__init__()
        require_switch("cddfuse", "stretch", stretch)
        self.stretch = stretch
        self.encoder, self.decoder = Encoder(), Decoder()
        self.base_fuser, self.detail_fuser = DenseBlock(WIDTH), DetailStack(1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        height, width = infrared.shape[-2:]
        # Reflection by one pixel inside the network needs two.
        padded = [pad_to(image, least=2) for image in (infrared, visible)]
        # One image at a time: a batch would take its multiple of the memory and gain no speed.
        pairs = zip(*(image.chunk(len(image)) for image in padded), strict=True)
        fused = torch.cat([self._run(*pair) for pair in pairs])[..., :height, :width]
        return stretch(fused) if self.stretch else fused

    def _run(self, infrared: Tensor, visible: Tensor) -> Tensor:
        # The shallow features are needed by neither fuser nor decoder.
        base, detail = self.encoder(visible)[:2]
        other_base, other_detail = self.encoder(infrared)[:2]
        base = self.base_fuser(base + other_base)
        detail = self.detail_fuser(detail + other_detail)
        fused: Tensor = self.decoder(visible, base, detail)
        return fused
