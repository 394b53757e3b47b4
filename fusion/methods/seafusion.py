"""SeAFusion: two gradient-dense encoders and a plain decoder, once trained to serve a segmenter.

Paper: Image fusion in the loop of high-level vision tasks: A semantic-aware real-time infrared and
    visible image fusion network, Information Fusion 82 (2022) 28-42,
    https://doi.org/10.1016/j.inffus.2021.12.004
Licence: AGPL-3.0-or-later (ours, written from a description of the network); the weights come
    under the MIT licence of the VIF-Benchmark collection
Checkpoint: SeAFusion.pth, 682 043 bytes, of https://github.com/Linfeng-Tang/VIF-Benchmark,
    sha256 8d65a7f9a50f36349803368cf9920f40420776995e7e8cc8a56d8d30e499431d

The authors stretch every fused RGB image so that its values span [0, 1]. That changes brightness
and contrast from image to image, so it is off by default; `stretch` (preset `official`) does it to
the fused luminance, which equals the authors' result exactly where the visible image is gray.

Training uses the authors' intensity and gradient terms, which is their first round; the semantic
term of the later rounds, whose weight grows from 0 to 3, needs a segmenter and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusion.layers.choices import require_switch
from fusion.layers.framing import stretch
from fusion.layers.gradient_dense import GradientDense, ImageConv, LeakyConv
from fusion.losses import sobel
from fusion.method import FusionMethod

GRADIENT_WEIGHT = 10.0


class SeAFusion(FusionMethod):
    """SeAFusion; with `stretch` the fused luminance of each image spans [0, 1]."""

    needs_checkpoint: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"official": {"stretch": True}}

    def __init__(self, *, stretch: bool = False) -> None:
        super().__init__()
        require_switch("seafusion", "stretch", stretch)
        self.stretch = stretch
        self.vis_conv, self.inf_conv = LeakyConv(1, 16), LeakyConv(1, 16)
        self.vis_rgbd1, self.inf_rgbd1 = GradientDense(16, 32), GradientDense(16, 32)
        self.vis_rgbd2, self.inf_rgbd2 = GradientDense(32, 48), GradientDense(32, 48)
        self.decode4 = LeakyConv(96, 64, idle_norm=True)
        self.decode3 = LeakyConv(64, 32, idle_norm=True)
        self.decode2 = LeakyConv(32, 16, idle_norm=True)
        self.decode1 = ImageConv(16)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        fused = self._run(infrared, visible)
        return stretch(fused) if self.stretch else fused

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return ``{"total", "intensity", "gradient"}`` of a batch in [0, 1].

        The L1 distance to the larger of both values, plus 10 times that to the larger of both
        Sobel gradients.
        """
        # The sources' type: under mixed precision, gradients of half numbers are too coarse.
        fused = self._run(infrared, visible).to(infrared.dtype)
        intensity = (fused - torch.maximum(infrared, visible)).abs().mean()
        edges = torch.maximum(sobel(infrared), sobel(visible))
        gradient = (sobel(fused) - edges).abs().mean()
        total = intensity + GRADIENT_WEIGHT * gradient
        return {"total": total, "intensity": intensity, "gradient": gradient}

    def _run(self, infrared: Tensor, visible: Tensor) -> Tensor:
        first = self.vis_rgbd2(self.vis_rgbd1(self.vis_conv(visible)))
        second = self.inf_rgbd2(self.inf_rgbd1(self.inf_conv(infrared)))
        joined = torch.cat([first, second], dim=1)
        fused: Tensor = self.decode1(self.decode2(self.decode3(self.decode4(joined))))
        return fused
