"""Layers that serve any network; what only one is made of lies in ``fusion.networks``."""
