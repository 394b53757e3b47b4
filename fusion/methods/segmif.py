"""SegMIF: a fusion network that is conditioned on the features of a segmentation network.

Paper: Multi-interactive Feature Learning and a Full-time Multi-modality Benchmark for Image
    Fusion and Segmentation, ICCV 2023, https://arxiv.org/abs/2308.02097
Licence: AGPL-3.0-or-later (ours, written from a description of the network and the SegFormer
    paper; the authors' repository declares no licence, and parts of it carry NVIDIA's Source
    Code Licence, which is non-commercial)
Checkpoint: a folder of the authors' two files (by Google Drive, from their repository),
    modelfusion-final2.pth (the fusion network) and model-fusion_add_final2.pth (the segmentation
    network, of which the first two encoder stages are used)

The segmentation encoder sees a third image, the prior. The authors' priors for their own data sets
were made outside their code; for others an author says that they took the visible image, which is
the default here. ``prior="saliency"`` takes the mean of both images weighted by their visual
saliency, our reading of how theirs were made.

The fusion network was trained with the visible luminance, and takes it here; the authors' test
script gives it the red channel of colour images. For that, set ``visible_channel="R"`` and call the
method itself with B x 3 x H x W RGB: luminance alone, as `fuse` gets it, is then refused. Gray
images need no choice. The result is clipped to [0, 1]; ``official_stretch=True`` adds the script's
8-bit truncation and stretch to each image's own minimum and maximum (taken there over the coloured
result, here over the luminance, which is the same for gray images), as the preset `official` does.
Images below 32 x 32 are extended, since the encoder needs that size.

Inference only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.errors import InputError
from fusion.layers.choices import require_choice, require_switch
from fusion.layers.framing import pad_to, stretch
from fusion.method import FusionMethod
from fusion.networks.segmif.blocks import DilatedDenseBlock, FusionPart, saliency_mean
from fusion.networks.segmif.transformer import MIT_B3, MixTransformer


class SegMIF(FusionMethod):
    """SegMIF's fusion network with the segmentation encoder's first two stages; see the card.

    Raises InputError for a parameter outside its allowed values.
    """

    needs_checkpoint: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"official": {"official_stretch": True}}
    nested: ClassVar[Mapping[str, str]] = {
        "modelfusion-final2.pth": "",
        "model-fusion_add_final2.pth": "",  # its own keys begin with "denoise_net." already
    }
    ignored: ClassVar[tuple[str, ...]] = (
        r"denoise_net\.(decoder|classifier)\.",
        r"denoise_net\.encoder\.(patch_embed|block|norm)[34]\.",
    )

    def __init__(
        self,
        *,
        prior: Literal["visible", "saliency"] = "visible",
        visible_channel: Literal["Y", "R"] = "Y",
        official_stretch: bool = False,
    ):
        super().__init__()
        require_choice("segmif", "prior", prior, ("visible", "saliency"))
        require_choice("segmif", "visible_channel", visible_channel, ("Y", "R"))
        require_switch("segmif", "official_stretch", official_stretch)
        self.prior, self.visible_channel = prior, visible_channel
        self.official_stretch = official_stretch
        self.conv1_ir, self.conv1_vis = (nn.Conv2d(1, 64, 3, padding=1) for _ in range(2))
        self.DRDB1, self.DRDB2 = DilatedDenseBlock(), DilatedDenseBlock()
        self.DRDB3, self.DRDB4 = DilatedDenseBlock(), DilatedDenseBlock()
        self.conv3, self.conv4 = nn.Conv2d(64, 64, 1), nn.Conv2d(128, 64, 1)
        self.ffm = FusionPart()
        self.ffm2 = FusionPart()  # published with the weights, but used by nothing
        self.conv2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv21 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv22 = nn.Conv2d(32, 1, 3, padding=1)
        self.relu = nn.PReLU()
        self.denoise_net = nn.ModuleDict({"encoder": MixTransformer(MIT_B3[:2])})

    def forward(self, infrared: Tensor, visible: Tensor, prior: Tensor | None = None) -> Tensor:
        """Return the fused luminance, B x 1 x H x W in [0, 1], of images in [0, 1], any size.

        `visible` is B x 1 x H x W, or B x 3 x H x W RGB; `prior`, B x 1 x H x W, is used instead of
        what the parameter ``prior`` would make.
        """
        fused = self.raw(infrared, visible, prior).clamp(0, 1)
        return stretch((255 * fused).floor() / 255) if self.official_stretch else fused

    def raw(self, infrared: Tensor, visible: Tensor, prior: Tensor | None = None) -> Tensor:
        """Return the network's own output, B x 1 x H x W, unbounded; arguments as in `forward`."""
        height, width = infrared.shape[-2:]
        luminance, shown = self._channels(visible)
        if prior is None:
            prior = luminance if self.prior == "visible" else saliency_mean(infrared, luminance)
        padded = (pad_to(x, least=32) for x in (infrared, shown, prior))
        return self._network(*padded)[..., :height, :width]

    def _channels(self, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return the luminance, and the channel that the fusion network is to see."""
        if visible.shape[1] == 3:
            weights = visible.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
            luminance = (weights * visible).sum(dim=1, keepdim=True)
            return luminance, (visible[:, :1] if self.visible_channel == "R" else luminance)
        if self.visible_channel == "R":
            raise InputError(
                'segmif: visible_channel is "R", but the visible batch holds luminance only; '
                'call the method itself with B x 3 x H x W RGB, or use visible_channel="Y".'
            )
        return visible, visible

    def _network(self, infrared: Tensor, visible: Tensor, prior: Tensor) -> Tensor:
        encoder, size = self.denoise_net["encoder"], (infrared.shape[2], infrared.shape[3])
        near, far = encoder(prior.expand(-1, 3, -1, -1))
        # Channels last: a map is then its own list of tokens, and nothing is copied between.
        last = torch.channels_last
        x = self.DRDB1(self.relu(self.conv1_ir(infrared)).contiguous(memory_format=last))
        y = self.DRDB2(self.relu(self.conv1_vis(visible)).contiguous(memory_format=last))
        x, y = self.ffm(x, y, _resized(self.conv3(near), size))
        x, y = self.DRDB3(x), self.DRDB4(y)
        x, y = self.ffm(x, y, _resized(self.conv4(far), size))
        z = self.relu(self.conv2(torch.cat([x, y], dim=1)))
        fused: Tensor = self.relu(self.conv22(self.relu(self.conv21(z))))
        return fused


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly; a 1 x 1 convolution gives the same before as after, at less cost."""
    maps = maps.contiguous(memory_format=torch.channels_last)
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
