"""EMMA: U-Fuser, trained so that what the sensors would see of the result is what they saw.

Paper: Equivariant Multi-Modality Image Fusion, CVPR 2024, https://arxiv.org/abs/2305.11443
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors'
    repository, https://github.com/Zhaozixiang1228/MMIF-EMMA, declares no licence)
Checkpoint: model/EMMA.pth of the authors' repository

Inference only. The authors stretch each fused image to fill [0, 1]. That changes brightness and
contrast from image to image, so it is off by default and the network's own values are clipped. An
image whose sides are no multiples of 32 they fuse in up to four overlapping crops, whose seams can
show because attention statistics run over a whole crop; here it is padded by reflection to
multiples of 8 and fused at once. ``stretch=True`` and ``crops=True`` (preset `official`: both)
give the authors' way.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusion.errors import InputError
from fusion.layers.choices import require_switch
from fusion.layers.framing import pad_to, stretch
from fusion.method import FusionMethod
from fusion.networks.emma import UFuser

CROP_MULTIPLE = 32


class EMMA(UFuser, FusionMethod):
    """EMMA; `stretch` fills [0, 1] per image, `crops` fuses odd sizes in parts as published.

    Raises InputError when a parameter is not a truth value, and with `crops` in fusing when a
    side is shorter than 32 pixels.
    """

    needs_checkpoint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "official": {"stretch": True, "crops": True}
    }

    def __init__(self, *, stretch: bool = False, crops: bool = False):
        super().__init__()
        require_switch("emma", "stretch", stretch)
        require_switch("emma", "crops", crops)
        self.stretch, self.crops = stretch, crops

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        run = self._in_crops if self.crops else self._padded
        # One image at a time: the result then does not depend on its batch by a single bit.
        pairs = zip(*(image.chunk(len(image)) for image in (infrared, visible)), strict=True)
        fused = torch.cat([run(*pair) for pair in pairs])
        return stretch(fused) if self.stretch else fused

    def _padded(self, infrared: Tensor, visible: Tensor) -> Tensor:
        height, width = infrared.shape[-2:]
        # Sixteen, since reflection at an eighth of the size needs two pixels.
        fused = self.run(*(pad_to(image, 8, least=16) for image in (infrared, visible)))
        return fused[..., :height, :width]

    def _in_crops(self, infrared: Tensor, visible: Tensor) -> Tensor:
        canvas = torch.empty_like(infrared)
        for top, left in product(*(_spans(size) for size in infrared.shape[-2:])):
            crop = (..., slice(*top[:2]), slice(*left[:2]))
            fused = self.run(infrared[crop], visible[crop])
            kept = (..., slice(-top[2], None), slice(-left[2], None))
            canvas[crop][kept] = fused[kept]
        return canvas


def _spans(size: int) -> list[tuple[int, int, int]]:
    """Return (start, stop, kept) of the crops along one side; a crop's last `kept` pixels count."""
    rest = size % CROP_MULTIPLE
    long = size - rest
    if not long:
        raise InputError(
            f"emma: with crops=True a side of {size} pixels is too short; images must be at least "
            f"{CROP_MULTIPLE} x {CROP_MULTIPLE}, so leave crops out."
        )
    return [(0, long, long), *([(rest, size, rest)] if rest else [])]
