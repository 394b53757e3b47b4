"""Fusion: aligned image pairs in, fused images out, and how good they look.

``from fusion import load_method, cards`` answers at once: torch is imported by the first call
that needs a network.
"""

import os

# OpenCV reads this once, when it is imported; larger images are refused before they are decoded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "40000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what is wrong with an image, we say

from fusion.registry import build_method, cards, load_method, method_class

__all__ = ["build_method", "cards", "load_method", "method_class"]
