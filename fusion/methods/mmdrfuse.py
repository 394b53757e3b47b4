"""MMDRFuse: a fusion network of 113 weights, distilled from one of half a million.

Paper: MMDRFuse: Distilled Mini-Model with Dynamic Refresh for Multi-Modality Image Fusion,
    ACM Multimedia 2024
Licence: AGPL-3.0-or-later (ours, written from a description of the networks; the authors'
    repository, https://github.com/yanglinDeng/MMDRFuse, declares no licence)
Checkpoint: pretrained_models/student.model and teacher.model of that repository (commit c9e50144);
    sha256 e5ad5bab796f4480dbbc35a8f6f63e69ba3ccd1842476d2c2453ca1aca6eb17c and
    6a4f86a0a543ceb1af93d9b1e955e9108ee35a5014710c6a2b0e071cdc8e25b5

Presets: `student` (the default; what the authors call MMDRFuse), `teacher`, and `official`, the
student with the stretch of the authors' test script.

The networks end in tanh. The authors' test script stretches the result from each image's own
minimum and maximum to [0, 1]. That changes brightness and contrast from image to image, so it is
off by default and the result is clipped; ``stretch=True`` does it. The teacher takes even sizes
only: odd images are extended by reflection and cropped back.

Training here has the intensity and gradient terms of the paper's content loss. Its perceptual term
(features of VGG-19), the dynamic refresh of past results and the student's distillation from the
teacher are left out, since they need foreign weights or a memory of every patch; a network
trained here is therefore not the published one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.layers.choices import require_choice, require_switch
from fusion.layers.framing import pad_to, stretch
from fusion.method import FusionMethod

Network = Literal["student", "teacher"]

_LAYERS: dict[str, dict[str, tuple[int, int]]] = {
    "student": {"conv1": (2, 4), "conv2": (4, 1)},
    "teacher": {
        "conv1": (2, 32),
        "conv2": (32, 32),
        "conv3": (64, 64),
        "conv4": (64, 64),
        "conv5": (128, 64),
        "conv6": (192, 64),
        "conv66": (64, 64),
        "conv55": (128, 64),
        "conv44": (128, 64),
        "conv33": (128, 64),
        "conv22": (96, 32),
        "conv11": (64, 4),
        "conv00": (4, 1),
    },
}
"""Channels into and out of every convolution."""


class MMDRFuse(FusionMethod):
    """MMDRFuse's student or teacher network; see the card above.

    Raises InputError for a parameter outside its allowed values.
    """

    needs_checkpoint: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "student": {"network": "student"},
        "teacher": {"network": "teacher"},
        "official": {"stretch": True},
    }

    def __init__(self, *, network: Network = "student", stretch: bool = False):
        super().__init__()
        require_choice("mmdrfuse", "network", network, tuple(_LAYERS))
        require_switch("mmdrfuse", "stretch", stretch)
        self.network, self.stretch = network, stretch
        for name, (c_in, c_out) in _LAYERS[network].items():
            stride = 2 if name == "conv3" else 1
            conv = nn.Conv2d(c_in, c_out, 3, stride)
            self.add_module(name, nn.Sequential(nn.ReflectionPad2d(1), conv))

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        fused = self.raw(infrared, visible)
        return stretch(fused) if self.stretch else fused.clamp(0, 1)

    def raw(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the network's own output, B x 1 x H x W in (-1, 1)."""
        height, width = infrared.shape[-2:]
        pair = torch.cat([infrared, visible], dim=1)
        if self.network == "student":
            fused = self._last("conv2", self._relu("conv1", pad_to(pair, least=2)))
        else:
            fused = self._teacher(pad_to(pair, multiple=2, least=4))
        return fused[..., :height, :width]

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return ``{"total", "intensity", "gradient"}`` of a batch in [0, 1], scalars.

        The mean absolute difference from the pixel-wise maximum of both images (twice that for the
        teacher) and a tenth of the mean squared difference of the gradients.
        """
        fused, brightest = self.raw(infrared, visible), torch.maximum(infrared, visible)
        intensity = functional.l1_loss(fused, brightest)
        gradient = functional.mse_loss(_edges(fused), _edges(brightest)) / 10
        weight = 2 if self.network == "teacher" else 1
        total = weight * intensity + gradient
        return {"total": total, "intensity": intensity, "gradient": gradient}

    def _relu(self, name: str, *features: Tensor) -> Tensor:
        joined = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        return functional.relu(self.get_submodule(name)(joined))

    def _last(self, name: str, features: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(name)(features)
        return out.tanh()

    def _teacher(self, pair: Tensor) -> Tensor:
        e1 = self._relu("conv1", pair)
        e2 = self._relu("conv2", e1)
        e3 = self._relu("conv3", e1, e2)
        e4 = self._relu("conv4", e3)
        e5 = self._relu("conv5", e3, e4)
        x = self._relu("conv66", self._relu("conv6", e3, e4, e5))
        x = self._relu("conv55", e5, x)
        x = self._relu("conv44", e4, x)
        x = self._relu("conv33", e3, x)
        x = functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        x = self._relu("conv11", e1, self._relu("conv22", e2, x))
        return self._last("conv00", x)


def _edges(image: Tensor) -> Tensor:
    """Return the mean of the eight neighbours minus the pixel itself, zero beyond the border."""
    kernel = image.new_full((1, 1, 3, 3), 1 / 8)
    kernel[..., 1, 1] = -1
    return functional.conv2d(image, kernel, padding=1)
