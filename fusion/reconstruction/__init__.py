"""Magnetic resonance images from too few samples of their k-space, before they are fused."""
