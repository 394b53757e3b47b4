"""Images, masks and their borders as data URIs that a page can hold."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from PIL import Image as Pillow

from fusion.pairs import Image
from segmentation.datasets import Palette

SIDE, QUALITY = 640, 76
"""Largest side in pixels and WebP quality: about 10 to 45 kB an image.

A report of 10 methods, 2 tasks and 3 images a task has 75 images and stays below 4 MB.
"""
OPACITY = 0.6
"""How much of an image a mask covers."""
FINE, SMALL = 3, 320
"""A border's window in pixels, for images up to so many pixels a side; a larger one's is wider."""


def image_uri(image: Image) -> str:
    """Return an RGB image, H x W x 3, as a WebP of at most `SIDE` pixels a side."""
    small = _smaller(image, cv2.INTER_AREA)
    _, data = cv2.imencode(".webp", small[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return _data_uri("webp", data.tobytes())


def mask_uri(ids: Image, palette: Palette, opacity: float = OPACITY) -> str:
    """Return class ids, H x W, as a PNG in the colours of their classes; class 0 is clear."""
    picture = Pillow.fromarray(_smaller(ids, cv2.INTER_NEAREST)).convert("P")
    picture.putpalette([channel for colour in palette for channel in colour])
    alpha = bytes([0, *[round(255 * opacity)] * (len(palette) - 1)])
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=alpha, optimize=True)
    return _data_uri("png", stream.getvalue())


def outline_uri(ids: Image, palette: Palette) -> str:
    """Return the borders of the classes of a mask, in their full colours, as a PNG."""
    small = _smaller(ids, cv2.INTER_NEAREST)
    window = FINE if max(small.shape) <= SMALL else FINE + 2
    around = np.ones((window, window), np.uint8)
    inner = np.asarray(cv2.erode(small, around)) == np.asarray(cv2.dilate(small, around))
    return mask_uri(np.where(inner, np.uint8(0), small), palette, 1.0)


def _smaller(image: Image, how: int) -> Image:
    scale = SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)


def _data_uri(form: str, data: bytes) -> str:
    return f"data:image/{form};base64,{base64.b64encode(data).decode('ascii')}"
