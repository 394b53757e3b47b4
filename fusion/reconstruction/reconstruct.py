"""Undersample a slice and reconstruct it: what fusion is given in place of the whole image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.pairs import Image
from fusion.reconstruction.cmd.network import CmdNet
from fusion.reconstruction.masks import Sampling
from fusion.reconstruction.measures import measures
from fusion.reconstruction.simulation import acquire, lots_of, scan


@dataclass(frozen=True, eq=False)
class Slice:
    """A reconstructed slice as uint8, and its `MEASURES` against the fully sampled one.

    They are taken of unrounded magnitudes.
    """

    image: Image
    measured: NDArray[np.float64]


@torch.inference_mode()
def reconstruct(
    image: Image,
    name: str,
    sampling: Sampling,
    network: CmdNet | None = None,
    device: str | torch.device = "cpu",
) -> Slice:
    """Return the slice `name` as it looks after a shorter scan; without a network zero-filled.

    `image` is uint8, H x W; its phase, noise and mask belong to its name. Raises InputError for
    one that is too small.
    """
    if min(image.shape) < 7:
        raise InputError(f"{name} is {image.shape[1]}x{image.shape[0]}, too small for SSIM's 7x7.")
    acquired = acquire([scan(image, sampling, lots_of(f"undersampled/{name}"))], device)
    found = acquired.measured.zero_filled if network is None else network(acquired.measured).image
    magnitude, truth = ((x.abs() * acquired.scale).cpu() for x in (found, acquired.target))
    levels = (255 * magnitude[0]).round().clamp(0, 255).numpy().astype(np.uint8)
    return Slice(levels, measures(magnitude, truth)[0].numpy())
