"""DCINN: an invertible network changes the summed detail of both images, told how by the pair.

Paper: A General Paradigm with Detail-Preserving Conditional Invertible Network for Image Fusion,
    International Journal of Computer Vision, 2023
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository has no licence file)
Checkpoint: model_tno.pth or model_rs.pth of the authors' repository, which load unchanged where
    the files are intact; its model_pansharpening.pth is another network and does not fit

Inference only. The presets are the two published settings: `tno` (the default: visible image
first, base by maximum) and `roadscene` (infrared first, base by mean).

The network needs sides that are multiples of 8. By default the pair is extended by reflection and
the result cut back. The authors cut up to 7 bottom rows and right columns off instead:
`border="crop"` fuses only what they keep, and fills the rest by repeating its last row and column.

The base of an image is a blur with black around it, as published, so the outermost 3 pixels come
out a little darker and their difference returns as detail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.layers.choices import require_choice
from fusion.layers.framing import pad_to
from fusion.method import FusionMethod
from fusion.networks.dcinn import ConditionNet, InvertibleNet


class DCINN(FusionMethod):
    """DCINN for one-channel images, 2.5 million parameters.

    `first` is the image that comes first in the condition, `base` the rule that joins the two
    blurred images, `border` what happens to sides that are no multiple of 8. Raises InputError for
    another value.
    """

    needs_checkpoint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tno": {},
        "roadscene": {"first": "infrared", "base": "mean"},
    }

    def __init__(
        self,
        *,
        first: Literal["visible", "infrared"] = "visible",
        base: Literal["max", "mean"] = "max",
        border: Literal["reflect", "crop"] = "reflect",
    ):
        super().__init__()
        require_choice("dcinn", "first", first, ("visible", "infrared"))
        require_choice("dcinn", "base", base, ("max", "mean"))
        require_choice("dcinn", "border", border, ("reflect", "crop"))
        self.first, self.base, self.border = first, base, border
        self.c_net = ConditionNet()
        self.inn = InvertibleNet()

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, not clamped, of two such in [0, 1]."""
        height, width = infrared.shape[-2:]
        pair = [visible, infrared] if self.first == "visible" else [infrared, visible]
        images = torch.cat(pair, dim=1)
        if self.border == "crop" and min(height, width) >= 16:
            kept = images[..., : height // 8 * 8, : width // 8 * 8]
            missing = (0, width % 8, 0, height % 8)
            return F.pad(self._run(kept), missing, mode="replicate")
        return self._run(pad_to(images, multiple=8, least=16))[..., :height, :width]

    def _run(self, images: Tensor) -> Tensor:
        blurred = _blur(images)
        detail = (images - blurred).sum(1, keepdim=True)
        pooled = blurred.amax if self.base == "max" else blurred.mean
        fused: Tensor = self.inn(detail, self.c_net(images)) + pooled(1, keepdim=True)
        return fused


def _blur(images: Tensor) -> Tensor:
    """Convolve every channel with an 11 x 11 Gaussian, sigma 1, black outside the image."""
    taps = torch.arange(-5, 6, dtype=images.dtype, device=images.device).square().mul(-0.5).exp()
    taps = (taps / taps.sum()).repeat(images.shape[1], 1, 1, 1)
    groups = images.shape[1]
    rows = F.conv2d(images, taps, padding=(0, 5), groups=groups)
    return F.conv2d(rows, taps.transpose(2, 3), padding=(5, 0), groups=groups)
