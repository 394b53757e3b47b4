"""Weights of networks: files on disk, and the published ones that can be fetched."""
