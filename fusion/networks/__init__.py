"""What one network is made of, by the name of its method; shared parts lie in ``fusion.layers``."""
