"""Fused images and boxes in, an AP table out: the detection room."""
