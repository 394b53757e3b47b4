"""Detectors of ultralytics: trained on an exported dataset, then shown images."""
