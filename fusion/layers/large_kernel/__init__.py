"""Convolutions with large kernels, computed in the frequency domain where that is faster."""
