"""The parts of LKC-FUNet."""
