"""The detector, YOLOv5u: trained on an exported dataset, then shown images."""
