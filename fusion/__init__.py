"""Fusion: aligned image pairs in, fused images out, and how good they look.

``from fusion import load_method, cards`` answers at once: torch is imported by the first call
that needs a network.
"""

from fusion.registry import build_method, cards, load_method, method_class

__all__ = ["build_method", "cards", "load_method", "method_class"]
