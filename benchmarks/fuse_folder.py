"""Fusing a folder against a plain loop (cheap method) and against the bare network (heavy one).

    python -m benchmarks.fuse_folder

Draws 640x480 pairs that pack as photographs do; --infrared and --visible name real ones instead.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch

from benchmarks.common import Row, interleaved, table
from fusion import load_method
from fusion.generation.folder import fuse_folder
from fusion.method import FusionMethod
from fusion.pairs import Image, ImagePair, list_pairs, read_gray

HEIGHT, WIDTH = 480, 640
DRAWN = 20
"""Different pairs on disk; each is used under several names."""


def photograph(rng: np.random.Generator, channels: int) -> Image:
    """Return large shapes, edges, and sensor noise, H x W x channels."""
    coarse = rng.normal(size=(12, 16, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    smooth = smooth.reshape(HEIGHT, WIDTH, channels)
    blocks = np.kron(rng.normal(size=(24, 32)), np.ones((20, 20)))[..., None]
    noise = rng.normal(size=(HEIGHT, WIDTH, channels))
    levels = 110 + 30 * smooth + 25 * blocks + 1.8 * noise
    return np.asarray(levels.clip(0, 255).round().astype(np.uint8).squeeze())


def draw_pairs(root: Path) -> list[ImagePair]:
    """Write `DRAWN` pairs as image programs do: every filter tried, searched matches."""
    rng = np.random.default_rng(0)
    packed = (cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS)
    for folder, channels in (("ir", 1), ("vi", 3)):
        (root / folder).mkdir()
        for number in range(DRAWN):
            cv2.imwrite(str(root / folder / f"{number}.png"), photograph(rng, channels), packed)
    return list_pairs(root / "ir", root / "vi")


def repeated(pairs: Sequence[ImagePair], count: int) -> list[ImagePair]:
    """Return `count` pairs with names of their own."""
    return [
        ImagePair(f"{number:04}", pair.infrared, pair.visible)
        for number, pair in ((i, pairs[i % len(pairs)]) for i in range(count))
    ]


def read(path: Path) -> Image:
    """Return the image as OpenCV gives it by default."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} cannot be read.")
    return np.asarray(image, np.uint8)


def plain_loop(method: FusionMethod, pairs: Sequence[ImagePair], out: Path) -> None:
    """Do the same as one would write it down: read, fuse, colour, write, one after another."""
    out.mkdir(exist_ok=True)
    for pair in pairs:
        infrared, visible = (
            cv2.cvtColor(read(path), cv2.COLOR_BGR2YCrCb) for path in (pair.infrared, pair.visible)
        )
        first, second = (
            torch.from_numpy(i[..., 0].copy())[None, None].float() / 255
            for i in (infrared, visible)
        )
        with torch.inference_mode():
            fused = method(first, second).clamp(0, 1)
        visible[..., 0] = (fused[0, 0] * 255).round().to(torch.uint8).numpy()
        cv2.imwrite(str(out / f"{pair.name}.png"), cv2.cvtColor(visible, cv2.COLOR_YCrCb2BGR))


def bare_network(method: FusionMethod, pairs: Sequence[ImagePair]) -> float:
    """Return the seconds of the network alone on the tensors of `pairs`."""
    seconds = 0.0
    for pair in pairs:
        first, second = (
            torch.from_numpy(read_gray(path))[None, None].float() / 255
            for path in (pair.infrared, pair.visible)
        )
        start = time.perf_counter()
        with torch.inference_mode():
            method(first, second)
        seconds += time.perf_counter() - start
    return seconds


def same_pixels(first: Path, second: Path) -> bool:
    """Tell whether two folders hold the same images under the same names."""
    return all(np.array_equal(read(path), read(second / path.name)) for path in first.iterdir())


def cheap(pairs: Sequence[ImagePair], root: Path, repeats: int) -> dict[str, object]:
    """Measure `average` against the plain loop."""
    method = load_method("average")
    ours, theirs = root / "ours", root / "loop"
    seconds = interleaved(
        {
            "ours": lambda: fuse_folder(method, pairs, ours),
            "loop": lambda: plain_loop(method, pairs, theirs),
        },
        repeats,
    )
    if not same_pixels(ours, theirs):
        raise SystemExit("The loop wrote other pixels than fuse_folder.")
    sizes = [sum(path.stat().st_size for path in folder.iterdir()) for folder in (ours, theirs)]
    ratios = [loop / mine for mine, loop in zip(seconds["ours"], seconds["loop"], strict=True)]
    return {
        "what": f"average, {len(pairs)} pairs",
        "ours, ms a pair": 1000 * min(seconds["ours"]) / len(pairs),
        "other, ms a pair": 1000 * min(seconds["loop"]) / len(pairs),
        "ratio": f"{median(ratios):.2f} of 2 ({min(ratios):.2f} to {max(ratios):.2f})",
        "bytes": f"{sizes[0] / sizes[1]:.2f}",
    }


def heavy(pairs: Sequence[ImagePair], root: Path, repeats: int, preset: str) -> dict[str, object]:
    """Measure lkc_funet end to end against its bare forward passes."""
    torch.manual_seed(0)
    method = load_method("lkc_funet", preset=preset)
    bare_network(method, pairs[:1])  # kernels are chosen and compiled at the first call
    bare: list[float] = []
    seconds = interleaved(
        {
            "ours": lambda: fuse_folder(method, pairs, root / "heavy"),
            "bare": lambda: bare.append(bare_network(method, pairs)),
        },
        repeats,
    )
    parts = [alone / mine for mine, alone in zip(seconds["ours"], bare, strict=True)]
    return {
        "what": f"lkc_funet {preset}, {len(pairs)} pairs",
        "ours, ms a pair": 1000 * min(seconds["ours"]) / len(pairs),
        "other, ms a pair": 1000 * min(bare) / len(pairs),
        "ratio": f"{median(parts):.2f} of 0.90 ({min(parts):.2f} to {max(parts):.2f})",
        "bytes": "-",
    }


def main() -> None:
    """Print both parts as one table."""
    options = _parser().parse_args()
    rows = measure(options)
    table("Fusing a folder; other: the plain loop, the bare network", rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--heavy-pairs", type=int, default=2)
    parser.add_argument("--preset", default="paper", help="of lkc_funet, the heavy one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--infrared", type=Path)
    parser.add_argument("--visible", type=Path)
    return parser


def run() -> list[Row]:
    """Return both parts with the default settings."""
    found = []
    for row, against, wanted in zip(
        measure(_parser().parse_args([])),
        ("a plain loop", "the bare network"),
        (2.0, 0.9),
        strict=True,
    ):
        told = str(row["ratio"])
        met = float(told.split()[0]) >= wanted
        found.append(Row(f"fuse a folder: {row['what']}", against, told, f"{wanted:g}", met))
    return found


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    """Return a row for the cheap method and one for the heavy one."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        given = options.infrared and options.visible
        pairs = list_pairs(options.infrared, options.visible) if given else draw_pairs(root)
        return [
            cheap(repeated(pairs, options.pairs), root, options.repeats),
            heavy(repeated(pairs, options.heavy_pairs), root, options.repeats, options.preset),
        ]


if __name__ == "__main__":
    main()
