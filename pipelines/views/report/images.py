"""Images of a store as data URIs that a page can hold."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from fusion.pairs import Image, read_rgb

SIDE, QUALITY = 480, 78
"""Largest side in pixels and WebP quality: about 15 to 30 kB an image.

A report of 10 methods, 2 tasks and 3 images a task has 75 images and stays below 3 MB.
"""


def data_uri(image: Image) -> str:
    """Return an image, gray H x W or RGB H x W x 3, as a WebP of at most `SIDE` pixels a side."""
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ordered = image if image.ndim == 2 else image[..., ::-1]
    _, data = cv2.imencode(".webp", ordered, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def read_if_there(path: Path) -> Image | None:
    """Return an image as RGB, None where somebody has removed it to save space."""
    return read_rgb(path) if path.is_file() else None
