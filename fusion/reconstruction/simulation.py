"""A k-space made of a magnitude image: easier than a scanner's, whose coils and noise are real.

To the magnitudes comes a smooth phase, to the samples complex Gaussian noise. What is drawn by lot
is drawn in the same order whatever is taken of the k-space, so that two accelerations and two ways
of reconstruction differ in that alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.pairs import Image
from fusion.reconstruction.kspace import Measurement, measure
from fusion.reconstruction.masks import Sampling

NOISE = 0.005
"""Standard deviation of the noise on each part of a sample, as a share of the brightest pixel."""
WAVES, TURN = 3, np.pi / 4
"""The phase: a few waves of at most this length each (radians), of less than a period."""

Scan = tuple[NDArray[np.complex64], NDArray[np.complex64], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Acquisition:
    """Undersampled slices in a scale that networks like: the zero-filled image's maximum is 1.

    `target` are the fully sampled images, complex B x H x W without noise; times `scale`, B x 1 x
    1, images are in grey levels from 0 to 1.
    """

    measured: Measurement
    target: Tensor
    scale: Tensor


def lots_of(word: str) -> np.random.Generator:
    """Return the lots that belong to a word, whatever the process and the order."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed)


def scan(image: Image, sampling: Sampling, lots: np.random.Generator) -> Scan:
    """Return the slice with its phase, noise in the image's frequencies, and a mask.

    `image` is uint8, H x W. Raises InputError for an image too small for the mask.
    """
    height, width = image.shape
    magnitude = image.astype(np.float32) / 255
    x = magnitude * np.exp(1j * _phase(height, width, lots))
    noise = lots.standard_normal((2, height, width), np.float32)
    amplitude = NOISE * float(magnitude.max())
    mask = sampling.draw(height, width, lots)
    noisy = amplitude * (noise[0] + 1j * noise[1])
    return x.astype(np.complex64), noisy.astype(np.complex64), mask.astype(np.float32)


def _phase(height: int, width: int, lots: np.random.Generator) -> NDArray[np.float64]:
    """Return a smooth phase in radians, H x W."""
    y, x = np.arange(height)[:, None] / height, np.arange(width)[None] / width
    phase = np.zeros((height, width))
    for _ in range(WAVES):
        down, right, shift = lots.uniform(-1, 1, 3)
        phase += TURN * np.cos(2 * np.pi * (0.5 * (down * y + right * x) + shift))
    return phase


def acquire(scans: Sequence[Scan], device: torch.device | str = "cpu") -> Acquisition:
    """Return scans of one size as a batch, normalised each by its zero-filled image."""
    x, noise, mask = (
        torch.from_numpy(np.stack(part)).to(device) for part in zip(*scans, strict=True)
    )
    return normalised(x, noise, mask)


def normalised(x: Tensor, noise: Tensor, mask: Tensor) -> Acquisition:
    """Return slices, complex B x H x W, with their noise and masks as an acquisition."""
    # The transform of white noise is white noise: it is added where samples are.
    whole = measure(x, mask)
    y = whole.y + whole.masked * noise[:, None]
    brightest = Measurement(y, mask, whole.maps).zero_filled.abs().amax(dim=(1, 2), keepdim=True)
    scale = torch.where(brightest > 0, brightest, torch.ones_like(brightest))
    return Acquisition(Measurement(y / scale[:, None], mask, whole.maps), x / scale, scale)
