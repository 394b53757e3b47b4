"""Fused images and masks in, a table of IoU out."""
