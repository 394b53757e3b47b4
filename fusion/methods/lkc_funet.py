"""LKC-FUNet: a U-Net of large dense and depth-wise kernels, joined by attention, early fusion.

Paper: Rethinking Normalization Strategies and Convolutional Kernels for Multimodal Image
    Fusion, Pattern Recognition 173 (2026) 112903, https://arxiv.org/abs/2411.10036
Licence: AGPL-3.0-or-later (ours, written from the paper and a description of the network; the
    authors' repository, https://github.com/HeDan-11/LKC-FUNet, declares no licence)
Checkpoint: none is published that can be fetched; train one with `fuse-then train-fusion`

Presets: `paper` (the default), `release_mif` and `release_vif` (what the authors' checkpoints
hold: second kernel 11, decoder first in MPAFM, residual there), `ablation_I` to `ablation_VI`
(rows of the paper's Table 2) and `tiny` (the same design, 29 000 parameters and no dropout, which
learns to follow both sources in a minute on one CPU core, at a learning rate of 3e-3).

Paper and released code differ; the defaults follow the paper where it speaks. Channel 0 of the
network is the visible (or CT/PET/SPECT) luminance, channel 1 the infrared (or MRI) one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusion.losses import fusion_loss
from fusion.method import FusionMethod
from fusion.networks.lkc_funet.blocks import BodyNorm
from fusion.networks.lkc_funet.mpafm import MpafmNorm, MpafmRoles
from fusion.networks.lkc_funet.unet import Design, FusionUNet, InitNorm, Joint, TestRange


class LKCFUNet(FusionMethod):
    """LKC-FUNet; keyword arguments are the fields of `Design`.

    Raises InputError for a parameter outside its allowed values.
    """

    needs_checkpoint: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "release_mif": {
            "kernels": (15, 11, 5, 5),
            "mpafm_roles": "dec_enc",
            "mpafm_residual": True,
        },
        "release_vif": {
            "kernels": (15, 11, 5, 5),
            "norm_init": "bn",
            "mpafm_roles": "dec_enc",
            "mpafm_residual": True,
        },
        "tiny": {
            "kernels": (5, 3, 3, 3),
            "init_kernel": 5,
            "width": 8,
            "stem": 8,
            "dropout": 0.0,
        },
        "ablation_I": {
            "kernels": (3, 3, 3, 3),
            "init_kernel": 3,
            "norm_init": "bn",
            "norm_body": "bn",
        },
        "ablation_II": {"norm_init": "bn", "norm_body": "bn"},
        "ablation_III": {"norm_init": "bn"},
        "ablation_IV": {"kernels": (3, 3, 3, 3), "init_kernel": 3},
        "ablation_V": {"norm_init": "none", "norm_body": "none"},
        "ablation_VI": {"mpafm": "concat"},
    }

    def __init__(
        self,
        *,
        kernels: Sequence[int] = (15, 7, 5, 5),
        init_kernel: int = 15,
        norm_init: InitNorm = "in",
        norm_body: BodyNorm = "gn",
        mpafm: Joint = "on",
        mpafm_roles: MpafmRoles = "enc_dec",
        mpafm_residual: bool = False,
        mpafm_norm: MpafmNorm = "bn",
        dropout: float = 0.2,
        width: int = 128,
        stem: int = 32,
        test_range: TestRange = "symmetric",
    ):
        super().__init__()
        self.design = Design(
            kernels=tuple(kernels) if isinstance(kernels, Sequence) else kernels,
            init_kernel=init_kernel,
            norm_init=norm_init,
            norm_body=norm_body,
            mpafm=mpafm,
            mpafm_roles=mpafm_roles,
            mpafm_residual=mpafm_residual,
            mpafm_norm=mpafm_norm,
            dropout=dropout,
            width=width,
            stem=stem,
            test_range=test_range,
        )
        self.model = FusionUNet(self.design)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size.

        With ``test_range="unit"`` the network sees [0, 1] although it was trained in [-1, 1], as
        in the authors' test script.
        """
        if self.design.test_range == "unit":
            return self._run(infrared, visible)
        return (self._run(2 * infrared - 1, 2 * visible - 1) + 1) / 2

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return the loss of a batch in [0, 1], compared in [-1, 1].

        Keys "total", "intensity", "ssim", "gradient": see `fusion.losses.fusion_loss`.
        """
        infrared, visible = 2 * infrared - 1, 2 * visible - 1
        return fusion_loss(self._run(infrared, visible), infrared, visible)

    def _run(self, infrared: Tensor, visible: Tensor) -> Tensor:
        height, width = infrared.shape[-2:]
        pair = _pad(torch.cat([visible, infrared], dim=1))
        # Channels last: depth-wise convolutions train twice as fast on a CPU.
        fused: Tensor = self.model(pair.contiguous(memory_format=torch.channels_last))
        return fused[..., :height, :width]


def _pad(pair: Tensor) -> Tensor:
    """Extend right and bottom to multiples of 4, by reflection where the image is large enough."""
    height, width = pair.shape[-2:]
    for size, pad in ((width, (0, -width % 4, 0, 0)), (height, (0, 0, 0, -height % 4))):
        if any(pad):
            mode = "reflect" if max(pad) < size else "replicate"
            pair = functional.pad(pair, pad, mode=mode)
    return pair
