"""Score fused images: ours against the same definitions in plain NumPy and SciPy.

    python -m benchmarks.quality [--repeats N]

The reference works as the released evaluator does: image by image, source by source, dense
two-dimensional windows, the paper's conventions. Both must agree before anything is timed.
"""

from __future__ import annotations

import argparse
import itertools
import math
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d

from benchmarks.common import Row, interleaved, table
from fusion.pairs import write_png
from fusion.quality.reading import FusedPair, score_pairs
from fusion.quality.scoring import score
from fusion.quality.settings import METRICS, PAPER_METRICS

Image = NDArray[np.float64]
IMAGES, HEIGHT, WIDTH = 40, 480, 640
"""As many images as a small test set: each repeat pays its start once, as a user does."""


def scenes(count: int, seed: int = 0) -> list[tuple[Image, Image, Image]]:
    """Return `count` synthetic (fused, infrared, visible) of whole grey levels, H x W."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    triples = []
    for _ in range(count):
        p = rng.uniform(0.01, 0.2, size=4)
        noise = rng.normal(0, 6, size=(2, HEIGHT, WIDTH))
        a = 110 + 90 * np.sin(p[0] * row) * np.cos(p[1] * column) + noise[0]
        b = 120 + 90 * np.cos(p[2] * row + p[3] * column) + noise[1]
        f = np.maximum(a, 0.5 * a + 0.5 * b)
        triples.append(tuple(np.rint(x).clip(0, 255) for x in (f, a, b)))
    return triples


def window(size: int, sigma: float) -> Image:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    weights = np.exp(-(x * x + y * y) / (2 * sigma**2))
    normalised: Image = weights / weights.sum()
    return normalised


def moments(x: Image, f: Image, w: Image) -> tuple[Image, ...]:
    mx, mf = convolve2d(x, w, "valid"), convolve2d(f, w, "valid")
    vx = convolve2d(x * x, w, "valid") - mx * mx
    vf = convolve2d(f * f, w, "valid") - mf * mf
    return mx, mf, vx, vf, convolve2d(x * f, w, "valid") - mx * mf


def ssim(x: Image, f: Image) -> float:
    x, f = np.pad(x, 5, "edge"), np.pad(f, 5, "edge")
    mx, mf, vx, vf, cov = moments(x, f, window(11, 1.5))
    c1, c2 = 2.55**2, 7.65**2
    top = (2 * mx * mf + c1) * (2 * cov + c2)
    return float((top / ((mx**2 + mf**2 + c1) * (vx + vf + c2))).mean())


def seen(x: Image, f: Image, w: Image) -> tuple[Image, Image, Image]:
    noise = 0.005 * 255**2
    _, _, vx, vf, cov = moments(x, f, w)
    vx[vx < 0], vf[vf < 0] = 0, 0
    g = cov / (vx + 1e-10)
    rest = vf - g * cov
    flat = vx < 1e-10
    g[flat], rest[flat], vx[flat] = 0, vf[flat], 0
    flat = vf < 1e-10
    g[flat], rest[flat] = 0, 0
    negative = g < 0
    rest[negative], g[negative] = vf[negative], 0
    rest[rest < 1e-10] = 1e-10
    return g, np.log10(1 + g * g * vx / (rest + noise)), np.log10(1 + vx / noise)


def viff(f: Image, a: Image, b: Image) -> float:
    total = 0.0
    for size, weight in zip((17, 9, 5, 3), (1, 0, 0.15, 1), strict=True):
        w = window(size, size / 5)
        if size < 17:
            f, a, b = (convolve2d(x, w, "valid")[::2, ::2] for x in (f, a, b))
        (ga, na, da), (gb, nb, db) = seen(a, f, w), seen(b, f, w)
        n, d = np.where(ga < gb, na, nb), np.where(ga < gb, da, db)
        total += weight * float((n + 1e-7).sum() / (d + 1e-7).sum())
    return total / 2.15


def corr(x: Image, y: Image) -> float:
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def mutual(x: Image, f: Image) -> float:
    joint = np.histogram2d(x.ravel(), f.ravel(), bins=256, range=((0, 256), (0, 256)))[0] / x.size
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / alone[some])).sum())


def edges(x: Image) -> tuple[Image, Image]:
    sx = convolve2d(x, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], "same")
    sy = convolve2d(x, [[1, 2, 1], [0, 0, 0], [-1, -2, -1]], "same")
    angle = np.full_like(x, math.pi / 2)
    np.arctan(np.divide(sy, sx, where=sx != 0, out=np.zeros_like(x)), out=angle, where=sx != 0)
    return np.sqrt(sx**2 + sy**2), angle


def kept(x: Image, f: Image) -> tuple[Image, Image]:
    (gx, ax), (gf, af) = edges(x), edges(f)
    ratio = gf.copy()
    np.divide(gf, gx, out=ratio, where=gx > gf)
    np.divide(gx, gf, out=ratio, where=gx < gf)
    d = 1 - np.abs(ax - af) / (math.pi / 2)
    q = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (d - 0.8)))
    return q * gx, gx


def qabf(f: Image, a: Image, b: Image) -> float:
    (ka, ga), (kb, gb) = kept(a, f), kept(b, f)
    return float((ka + kb).sum() / (ga + gb).sum())


def average_gradient(f: Image) -> float:
    gy, gx = np.gradient(f)
    return float(np.sqrt((gx**2 + gy**2) / 2).sum() / ((f.shape[0] - 1) * (f.shape[1] - 1)))


def entropy(f: Image) -> float:
    p = np.histogram(f, 256, (0, 256))[0] / f.size
    return float(-(p[p > 0] * np.log2(p[p > 0])).sum())


def mse(f: Image, a: Image, b: Image) -> float:
    return float((((a - f) ** 2).mean() + ((b - f) ** 2).mean()) / 2)


def spatial_frequency(f: Image) -> float:
    return math.sqrt(((np.diff(f, axis=0) ** 2).sum() + (np.diff(f) ** 2).sum()) / f.size)


REFERENCE: dict[str, Callable[[Image, Image, Image], float]] = {
    "SD": lambda f, a, b: float(f.std()),
    "AG": lambda f, a, b: average_gradient(f),
    "SF": lambda f, a, b: spatial_frequency(f),
    "SCD": lambda f, a, b: corr(a, f - b) + corr(b, f - a),
    "VIFF": viff,
    "SSIM": lambda f, a, b: (ssim(a, f) + ssim(b, f)) / 2,
    "EN": lambda f, a, b: entropy(f),
    "MI": lambda f, a, b: mutual(a, f) + mutual(b, f),
    "MSE": mse,
    "CC": lambda f, a, b: (corr(a, f) + corr(b, f)) / 2,
    "PSNR": lambda f, a, b: 10 * math.log10(f.max() ** 2 / mse(f, a, b)),
    "Qabf": qabf,
}


def compare(metrics: Sequence[str], name: str, wanted: float, repeats: int) -> Row:
    """Time both on the same images, in turns; per image, the median of `repeats`."""
    triples = scenes(IMAGES)
    fused, infrared, visible = (
        torch.from_numpy(np.stack(x)).to(torch.uint8) for x in zip(*triples, strict=True)
    )
    ours = score(fused, infrared, visible, metrics)
    for metric in metrics:
        theirs = REFERENCE[metric](*triples[0])
        if not math.isclose(theirs, float(ours[metric][0]), rel_tol=1e-6):
            raise AssertionError(f"{metric}: {theirs} in NumPy, {float(ours[metric][0])} in torch")
    seconds = interleaved(
        {
            "theirs": lambda: [REFERENCE[metric](*triples[0]) for metric in metrics],
            "ours": lambda: score(fused, infrared, visible, metrics),
        },
        repeats,
    )
    theirs = statistics.median(seconds["theirs"])
    mine = statistics.median(seconds["ours"]) / IMAGES
    return Row(
        f"score {name}, {WIDTH}x{HEIGHT}: {1 / mine:.1f} images/s",
        f"NumPy and SciPy: {1 / theirs:.2f} images/s",
        f"{theirs / mine:.0f} times faster",
        f"{wanted:.0f} times",
        theirs >= wanted * mine,
    )


def memory() -> Row:
    """Compare the peak of score_pairs on 64 images with that on 16."""
    few, many = (_peak_mebibytes(count) for count in (16, 64))
    return Row(
        "memory of score_pairs on 64 images",
        f"on 16: {few:.0f} MiB",
        f"{many:.0f} MiB",
        "at most 1.1 times",
        many <= 1.1 * few,
    )


def _peak_mebibytes(count: int) -> float:
    """Return the peak memory of a fresh process that scores `count` files."""
    command = [sys.executable, "-m", "benchmarks.quality", "--peak", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for i, triple in enumerate(scenes(8)):
            files = [Path(folder) / f"{i}{kind}.png" for kind in "fab"]
            for file, image in zip(files, triple, strict=True):
                write_png(file, image.astype(np.uint8))
            pairs.append(FusedPair(str(i), *files))
        for _ in score_pairs(itertools.islice(itertools.cycle(pairs), count)):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(repeats: int = 3) -> list[Row]:
    return [
        compare(PAPER_METRICS, "the paper's six", 60, repeats),
        compare(METRICS, "all twelve", 30, repeats),
        memory(),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", type=int, help="only print the peak MiB of so many images")
    asked = parser.parse_args()
    if asked.peak:
        print(peak(asked.peak))
        return
    table("Scoring fused images", [asdict(row) for row in run(asked.repeats)])


if __name__ == "__main__":
    main()
