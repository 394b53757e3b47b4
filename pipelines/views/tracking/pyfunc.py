"""What MLflow calls to load a registered fusion network; this package must be installed there.

    import mlflow
    network = mlflow.pyfunc.load_model("models:/fuse-then-LKC-FUNet-tiny/1")
    fused = network.predict({"infrared": infrared, "visible": visible})

`infrared` is uint8, H x W; `visible` is uint8, H x W x 3 (RGB), aligned with it. The fused image is
what ``fuse-then fuse`` writes: uint8, H x W x 3 with the visible image's colour, or H x W when that
has none. On another device: ``load_model(..., model_config={"device": "cuda"})``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fusion.errors import InputError
from fusion.generation.device import fuse_images
from fusion.method import FusionMethod
from fusion.pairs import Image, from_ycrcb, split_luminance
from fusion.registry import load_method
from fusion.torch_tools import resolve_device
from fusion.weights.checkpoints import read_checkpoint
from pipelines.views.tracking.models import CONFIG


class FusionNetwork:
    """A trained fusion method behind MLflow's `predict`."""

    def __init__(self, method: FusionMethod, where: torch.device) -> None:
        self._method, self._where = method, where

    def predict(self, data: Mapping[str, Image], params: object = None) -> Image:
        """Return the fused image of one pair, see the module's text.

        Raises InputError when an image is missing, is not 8-bit, or differs in size.
        """
        infrared, visible = (_image(data, name) for name in ("infrared", "visible"))
        if infrared.shape[:2] != visible.shape[:2]:
            raise InputError(
                f"infrared is {infrared.shape[:2]} but visible is {visible.shape[:2]} (height, "
                f"width); a pair must be aligned and of one size, so resample one of them."
            )
        first, _ = split_luminance(infrared)
        second, ycrcb = split_luminance(visible)
        (fused,) = fuse_images(self._method, first[None], second[None], self._where)
        return fused if ycrcb is None else from_ycrcb(np.ascontiguousarray(fused), ycrcb)


def _image(data: Mapping[str, Image], name: str) -> Image:
    if name not in data:
        raise InputError(f'The input has no "{name}"; give {{"infrared": ..., "visible": ...}}.')
    image = np.ascontiguousarray(data[name])
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InputError(
            f"{name} is {image.dtype} {image.shape}; give 8-bit images, H x W or H x W x 3."
        )
    return image


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> FusionNetwork:
    """Load the checkpoint at `path`, which names its method and its parameters."""
    device = {**CONFIG, **(model_config or {})}["device"]
    name = read_checkpoint(Path(path), FusionMethod).method
    if name is None:
        raise InputError(f"{path} does not say which method it belongs to; register it again.")
    return FusionNetwork(load_method(name, path, device), resolve_device(device))
