"""TarDAL: a densely connected generator, trained against a target critic and a detail critic.

Paper: Target-aware Dual Adversarial Learning and a Multi-scenario Multi-Modality Benchmark to Fuse
    Infrared and Visible for Object Detection, CVPR 2022, https://arxiv.org/abs/2203.16220
Licence: AGPL-3.0-or-later (ours, written from a description of the network; the authors' code is
    GPL-3.0); the weights come under the MIT licence of the VIF-Benchmark collection
Checkpoint: tardal.pt, 1 203 451 bytes, of https://github.com/Linfeng-Tang/VIF-Benchmark,
    sha256 e0fa61e25cffa9fb14ff17b47ea7ba237a6e8c6f37e1b9b115d63354ff0f13e1 (tardal+.pt and
    tardal++.pt fit too, and so do the authors' later tardal-dt, -tt and -ct.pth, of whose parts
    only the generator is read)

These weights are older than the authors' code of today, which would run them with the batch
normalisation of training: statistics of the image at hand. VIF-Benchmark runs them with the
stored statistics, which is the default here (`bn_mode="eval"`). The two differ strongly: on MSRS
the stored statistics darken the image and lose much of the visible one by day and people by night;
each image's own (`bn_mode="batch"`, preset `image_statistics`) keep both, but depend on all of the
image. Say which you used. VIF-Benchmark computes in half precision on a GPU; here it is the
precision of the input. Inference only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from fusion.layers.choices import require_choice
from fusion.method import FusionMethod

BatchNormMode = Literal["eval", "batch"]
WIDTH, DEPTH = 32, 3


class TarDAL(FusionMethod):
    """TarDAL's generator; `bn_mode` chooses stored statistics ("eval") or the image's ("batch")."""

    needs_checkpoint: ClassVar[bool] = True
    nested: ClassVar[Mapping[str, str]] = {"fuse": ""}
    ignored: ClassVar[tuple[str, ...]] = (r"(?!encoder\.|dense\.|fuse\.)",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"image_statistics": {"bn_mode": "batch"}}

    def __init__(self, *, bn_mode: BatchNormMode = "eval") -> None:
        super().__init__()
        require_choice("tardal", "bn_mode", bn_mode, get_args(BatchNormMode))
        self.bn_mode = bn_mode
        stored = bn_mode == "eval"
        self.encoder = _layer(2, WIDTH, stored)
        self.dense = nn.ModuleList(_layer(WIDTH * (i + 1), WIDTH, stored) for i in range(DEPTH))
        wide = WIDTH * (DEPTH + 1)
        # The published keys begin with "fuse.", but as an attribute that is FusionMethod.fuse.
        self._modules["fuse"] = nn.Sequential(
            nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(inplace=True)),
            _layer(wide, 2 * WIDTH, stored),
            _layer(2 * WIDTH, WIDTH, stored),
            nn.Sequential(nn.Conv2d(WIDTH, 1, 3, padding=1), nn.Tanh()),
        )

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        pair = torch.cat([infrared, visible], dim=1)
        if self.bn_mode == "eval":
            return self.raw(pair).clamp(0.0, 1.0)
        # One by one: the authors fuse single images, and a neighbour must not change the result.
        return torch.cat([self.raw(one) for one in torch.split(pair, 1)]).clamp(0.0, 1.0)

    def raw(self, pair: Tensor) -> Tensor:
        """Return the generator's output in (-1, 1), B x 1 x H x W; channels infrared, visible."""
        x = self.encoder(pair)
        for layer in self.dense:
            x = torch.cat([x, layer(x)], dim=1)
        out: Tensor = cast(nn.Module, self._modules["fuse"])(x)
        return out


class _Norm(nn.BatchNorm2d):
    """Batch normalisation by the stored statistics or by the batch's own; it never learns."""

    def __init__(self, channels: int, stored: bool) -> None:
        super().__init__(channels)
        self.stored = stored

    def forward(self, x: Tensor) -> Tensor:
        own = not self.stored
        mean, variance = (None, None) if own else (self.running_mean, self.running_var)
        cudnn = torch.backends.cudnn.enabled
        # Not nn.functional's: that one refuses statistics of a single pixel.
        return torch.batch_norm(
            x, self.weight, self.bias, mean, variance, own, 0.0, self.eps, cudnn
        )


def _layer(c_in: int, c_out: int, stored: bool) -> nn.Sequential:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1)
    return nn.Sequential(conv, _Norm(c_out, stored), nn.ReLU(inplace=True))
