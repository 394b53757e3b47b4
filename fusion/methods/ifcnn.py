"""IFCNN: one encoder for every input, features joined element by element, one decoder.

Paper: IFCNN: A general image fusion framework based on convolutional neural network, Information
    Fusion 54 (2020) 99-118, https://doi.org/10.1016/j.inffus.2019.07.011
Licence: AGPL-3.0-or-later (ours, written from a description of the network); the weights come
    under the MIT licence of the VIF-Benchmark collection
Checkpoint: IFCNN-MAX.pth, 337 094 bytes, of https://github.com/Linfeng-Tang/VIF-Benchmark,
    sha256 6022b44c88a2f0367ba9b08fcdf0d663745d9a966fca0ee1f41867797b6ff53f

Each luminance enters as three equal channels with ImageNet's normalisation. The three channels
that come out are joined as at VIF-Benchmark: 0.114, 0.587 and 0.299 of the first, second and third
(its blue and red are exchanged), but without its rounding to 8 bits in between. `scheme` is "max"
(infrared and visible, medical; the checkpoint's), "sum" or "mean".

Training follows the authors' idea, a sharp image restored from a multi-focus pair of it, with
their squared error. Left out: the perceptual term and the frozen first layer, which both need a
ResNet-101 of ImageNet (here the first layer learns too), and NYU-D2, whose depth tells near from
far: here straight lines divide crops of both sources. Keep the learning rate at 1e-4: at 1e-3 the
stored statistics of the batch normalisation lag behind the weights, and images come out gray.
"""

from __future__ import annotations

from functools import reduce
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.layers.choices import require_choice
from fusion.method import FusionMethod
from fusion.networks.ifcnn import multi_focus_pair

Scheme = Literal["max", "sum", "mean"]
WIDTH = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY = (0.114, 0.587, 0.299)


class IFCNN(FusionMethod):
    """IFCNN; `scheme` is the element-wise rule that joins the features of the inputs."""

    needs_checkpoint: ClassVar[bool] = True
    trainable: ClassVar[bool] = True
    optional: ClassVar[tuple[str, ...]] = (r"conv[23]\.bn\.num_batches_tracked$",)

    def __init__(self, *, scheme: Scheme = "max") -> None:
        super().__init__()
        require_choice("ifcnn", "scheme", scheme, get_args(Scheme))
        self.scheme = scheme
        self.conv1 = nn.Conv2d(3, WIDTH, 7, padding=3, padding_mode="replicate", bias=False)
        self.conv2, self.conv3 = _ConvBlock(), _ConvBlock()
        self.conv4 = nn.Conv2d(WIDTH, 3, 1)

    def forward(self, infrared: Tensor, visible: Tensor) -> Tensor:
        """Return the fused luminance, B x 1 x H x W, of two such tensors in [0, 1], any size."""
        colour = _denormalised(self.raw(infrared, visible)).clamp(0.0, 1.0)
        return (colour * _channels(GRAY, colour)).sum(dim=1, keepdim=True)

    def loss(self, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """Return ``{"total", "mse"}`` of a batch in [0, 1]: how well sharp crops are restored."""
        sharp = torch.cat([infrared, visible])
        restored = _denormalised(self.raw(*multi_focus_pair(sharp)))
        mse = (restored.to(sharp.dtype) - sharp).square().mean()
        return {"total": mse, "mse": mse}

    def raw(self, *images: Tensor) -> Tensor:
        """Return the network's own output, B x 3 x H x W, of any number of B x 1 x H x W."""
        joined = self._join([self._features(image) for image in images])
        out: Tensor = self.conv4(self.conv3(joined))
        return out

    def _features(self, image: Tensor) -> Tensor:
        mean, std = _channels(IMAGENET_MEAN, image), _channels(IMAGENET_STD, image)
        features: Tensor = self.conv2(self.conv1((image - mean) / std))
        return features

    def _join(self, features: list[Tensor]) -> Tensor:
        if self.scheme == "max":
            return reduce(torch.maximum, features)
        total = reduce(torch.add, features)
        return total / len(features) if self.scheme == "mean" else total


class _ConvBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, padding_mode="replicate", bias=False)
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def _denormalised(colour: Tensor) -> Tensor:
    return colour * _channels(IMAGENET_STD, colour) + _channels(IMAGENET_MEAN, colour)


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return like.new_tensor(values).view(1, -1, 1, 1)
