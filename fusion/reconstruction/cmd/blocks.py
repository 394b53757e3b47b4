"""The parts of a cascade: two subnetworks of different priors, and data consistency."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.reconstruction.cmd.unet import UNet
from fusion.reconstruction.kspace import Measurement, fourier


def channels(x: Tensor) -> Tensor:
    """Return real and imaginary parts as channels: complex B x H x W to B x 2 x H x W."""
    return torch.view_as_real(x).permute(0, 3, 1, 2)


def complex_of(x: Tensor) -> Tensor:
    """Return the image of two channels: the inverse of `channels`."""
    return torch.view_as_complex(x.permute(0, 2, 3, 1).contiguous())


def _scalar(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


class Step(nn.Module):
    """One step of gradient descent towards the samples, of a learned length."""

    def __init__(self) -> None:
        super().__init__()
        self.lambda_step = _scalar(0.5)

    def forward(self, x: Tensor, measured: Measurement) -> Tensor:
        """Return the image, complex B x H x W, after the step."""
        residual = measured.adjoint(measured.forward(x) - measured.y)
        after: Tensor = x - self.lambda_step * residual
        return after


class Variational(nn.Module):
    """The subnetwork of the prior that a U-Net learns: a step, and twice what the U-Net adds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gd_block = Step()
        self.lambda_step = _scalar(0.5)
        self.cnn1 = UNet(width)

    def forward(self, x: Tensor, measured: Measurement) -> Tensor:
        """Return the image, complex B x H x W."""
        added = complex_of(self.cnn1(channels(x)))
        image: Tensor = self.gd_block(x, measured) + 2 * self.lambda_step * added
        return image


class Sparse(nn.Module):
    """The subnetwork of the sparse prior: a step, then soft thresholds between two transforms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gd_block = Step()
        self.soft_thr = _scalar(0.01)
        self.conv1 = _transform(2, width, width)
        self.conv2 = _transform(width, width, 2)

    def forward(self, x: Tensor, measured: Measurement) -> tuple[Tensor, Tensor]:
        """Return the image, complex B x H x W, and the transforms' own error, B x 2 x H x W."""
        r = channels(self.gd_block(x, measured))
        z = self.conv1(r)
        soft = torch.sign(z) * functional.relu(z.abs() - self.soft_thr)
        return complex_of(self.conv2(soft)), self.conv2(z) - r


def _transform(given: int, between: int, made: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(given, between, 3, padding=1), nn.ReLU(), nn.Conv2d(between, made, 3, padding=1)
    )


def attention(inputs: int, width: int) -> nn.Sequential:
    """Return what maps `inputs` complex images to two maps of confidence: B x 2 x H x W."""
    return nn.Sequential(*_transform(2 * inputs, width, 2), nn.Sigmoid())


class Consistency(nn.Module):
    """Puts the samples back: of each `noise_lvl` of what was there, and the rest as measured."""

    def __init__(self) -> None:
        super().__init__()
        self.noise_lvl = _scalar(0.5)

    def forward(self, x: Tensor, measured: Measurement) -> Tensor:
        """Return the image, complex B x H x W, whose k-space agrees with the samples."""
        k, v, mask = fourier(measured.maps * x[:, None]), self.noise_lvl, measured.masked
        return measured.combined((1 - mask) * k + mask * (v * k + (1 - v) * measured.y))
