"""Which algorithm a convolution is predicted to be fastest with, and by tiles of which size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Problem:
    """The sizes of one convolution of square kernels, stride 1."""

    batch: int
    c_in: int
    c_out: int
    height: int
    width: int
    kernel: int
    padding: int
    kernel_known: bool
    """Whether the kernel's spectrum is at hand from an earlier image."""

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return self.height + 2 * self.padding - self.kernel + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return self.width + 2 * self.padding - self.kernel + 1


# Multiply-adds, bytes and calls a second of one core, fitted to the measurements in
# benchmarks/NOTES.md (10 % r.m.s.). Only their ratios decide, and the choice is flat about its
# optimum, so one set serves all machines.
_DIRECT, _PRODUCT, _BYTES, _CALL = 105e9, 100e9, 18e9, 4e-6


def direct_seconds(p: Problem) -> float:
    """Return the predicted time of the direct convolution on one core."""
    fill = min(p.c_in, 16) / 16 * min(p.c_out, 16) / 16  # lanes of a vector that have work
    macs = p.batch * p.out_height * p.out_width * p.c_in * p.c_out * p.kernel**2
    return 2 * macs / (_DIRECT * fill)


def spectral_seconds(p: Problem, tile: int) -> float:
    """Return the predicted time of overlap-save with tiles of `tile` samples a side."""
    valid, half = tile - p.kernel + 1, tile // 2 + 1
    rows, columns = -(-p.out_height // valid), -(-p.out_width // valid)
    count, pairs, points = p.batch * rows * columns, p.c_in * p.c_out, tile * half
    lines = p.batch * p.height * columns * 2 * half
    macs = lines * (tile * p.c_in + valid * p.c_out)
    macs += 4 * count * points * (tile * p.c_in + valid * p.c_out)
    # Products with few rows or columns do not fill the machine's registers.
    macs += 4 * points * (count + 12) * (p.c_in + 12) * (p.c_out + 12)
    floats = 4 * lines * (p.c_in + p.c_out) + points * count * (6 * p.c_in + 10 * p.c_out)
    floats += 4 * points * pairs
    calls = 8 * count + 6 * tile + 4 * columns
    if not p.kernel_known:
        macs += pairs * p.kernel * (2 * half * p.kernel + 4 * points)
        floats += pairs * (8 * half * p.kernel + 6 * points)
    return 2 * macs / _PRODUCT + 4 * floats / _BYTES + _CALL * calls


@lru_cache(maxsize=1024)
def best_tile(p: Problem) -> tuple[int, float]:
    """Return the tile that is predicted to be fastest, and its seconds."""
    largest = max(p.out_height, p.out_width) + p.kernel - 1
    tiles = range(p.kernel, min(largest, 8 * p.kernel) + 1)
    return min(((t, spectral_seconds(p, t)) for t in tiles), key=lambda pair: pair[1])
