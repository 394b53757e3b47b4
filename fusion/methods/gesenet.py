"""GeSeNet: medical fusion by edge-enhanced features and residual convolutions under masks.

Paper: GeSeNet: A General Semantic-Guided Network With Couple Mask Ensemble for Medical Image
    Fusion, IEEE Transactions on Neural Networks and Learning Systems (2023),
    https://doi.org/10.1109/TNNLS.2023.3293274
Licence: AGPL-3.0-or-later (ours, written from a description of the network); the authors' code and
    weights are MIT
Checkpoint: model/GeSeNet.pth, 991 703 bytes, of https://github.com/lok-18/GeSeNet,
    sha256 3ecbeb6321d190a088a96adac244fcb384506cbfaf31880f08462d2aba518909

`infrared` is the MRI, `visible` the CT, PET or SPECT luminance. The authors' test script leaves
the network in training mode, in which its masks are drawn at random, so their results differ from
run to run (by 0.001 on average). `masks` says what happens here: "soft" (the default) takes the
masks' probabilities, "hard" the likelier class, "noise" draws as the authors do, from `seed` and
alike for all images of one size. The script also stretches every fused RGB image so that its
values span [0, 1]; `stretch` does that to the luminance, which is the same where the partner is
gray. The preset `official` does both. Odd sizes, which the authors' network refuses, are extended
by one row or column and cropped back. Inference only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.layers.choices import require_choice, require_switch
from fusion.layers.framing import pad_to, stretch
from fusion.layers.gradient_dense import GradientDense, ImageConv, LeakyConv
from fusion.method import FusionMethod
from fusion.networks.gesenet import (
    LAYERS,
    WIDTH,
    GlobalRefinement,
    MaskedResidual,
    Uniforms,
)

Masks = Literal["soft", "hard", "noise"]


class GeSeNet(FusionMethod):
    """GeSeNet; `masks` and `seed` choose its masks, `stretch` spreads each image over [0, 1]."""

    needs_checkpoint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "official": {"masks": "noise", "stretch": True}
    }

    def __init__(self, *, masks: Masks = "soft", seed: int = 0, stretch: bool = False) -> None:
        super().__init__()
        require_choice("gesenet", "masks", masks, get_args(Masks))
        require_switch("gesenet", "stretch", stretch)
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise InputError(f"gesenet: seed is {seed!r}, but must be a whole number from 0 on.")
        self.masks, self.seed, self.stretch = masks, seed, stretch
        self.vis_conv, self.inf_conv = LeakyConv(1, 16), LeakyConv(1, 16)
        self.vis_eem, self.inf_eem = GradientDense(16, WIDTH), GradientDense(16, WIDTH)
        hard = masks == "hard"
        self.vis_rmm, self.inf_rmm = MaskedResidual(hard), MaskedResidual(hard)
        self.sft = GlobalRefinement()
        self.decoder2 = LeakyConv(3 * WIDTH, WIDTH)
        self.decoder1 = ImageConv(WIDTH)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        height, width = infrared.shape[-2:]
        infrared, visible = (pad_to(image, 2) for image in (infrared, visible))
        fused = self.run(infrared, visible, *self._uniforms(*infrared.shape[-2:]))
        fused = fused[..., :height, :width]
        return stretch(fused) if self.stretch else fused

    def run(
        self,
        infrared: Tensor,
        visible: Tensor,
        visible_uniforms: Uniforms | None = None,
        infrared_uniforms: Uniforms | None = None,
    ) -> Tensor:
        """Return the network's output in (0, 1), B x 1 x H x W, of two such, H and W even."""
        edges = self.vis_eem(self.vis_conv(visible)), self.inf_eem(self.inf_conv(infrared))
        first = self.vis_rmm(edges[0], visible_uniforms)
        second = self.inf_rmm(edges[1], infrared_uniforms)
        refined = self.sft(torch.cat([first, second], dim=1), edges[1])
        fused: Tensor = self.decoder1(self.decoder2(torch.cat([refined, edges[0]], dim=1)))
        return fused

    def _uniforms(self, height: int, width: int) -> tuple[Uniforms, Uniforms] | tuple[None, None]:
        """Draw the random numbers of both branches in the authors' order, from `seed`."""
        if self.masks != "noise":
            return None, None
        random = torch.Generator().manual_seed(self.seed)
        visible, infrared = (
            Uniforms(
                torch.rand(1, 2, height, width, generator=random),
                torch.rand(1, WIDTH, LAYERS, 2, generator=random),
            )
            for _ in range(2)
        )
        return visible, infrared
