"""AP of 1000 resampled test sets: ours against AP of images really repeated.

    python -m benchmarks.resampling [--images 420] [--cells 30] [--timed 3] [--repeated 3]

Predicted: hundreds of times as fast, because boxes are matched once and a resample is a weight per
image. `--timed` of the cells are measured, and of the first one `--repeated` resamples are really
repeated; both are extrapolated. Seconds are the process's own, on one thread. The results agree to
1e-12, or the benchmark stops.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ap import CLASSES, Found, _annotation, _detections
from benchmarks.common import Row, table
from detection.ap import evaluate
from detection.datasets import Annotation, coco_ground_truth
from detection.matching import rankings
from detection.resampling import ApResampler
from pipelines.results.statistics.bootstrap import RESAMPLES, resamples

WANTED_SECONDS = 20.0
Truth = dict[str, Annotation]
Counts = np.ndarray[Any, np.dtype[np.int32]]


def main() -> None:
    options = _options()
    boxes, ours, theirs, error = measure(options)
    rows = [
        {"resampled AP": name, "s a cell": seconds, "s in all": options.cells * seconds}
        for name, seconds in (("repeated images", theirs), ("fuse-then", ours))
    ]
    title = f"{options.cells} cells of {options.images} images and {boxes} detections"
    table(f"{title}, {RESAMPLES} resamples; equal to {error:.0e}", rows)


def run() -> list[Row]:
    options = _options([])
    boxes, ours, theirs, error = measure(options)
    what = f"AP of {RESAMPLES} resamples, {options.cells} cells of {boxes} detections"
    told = f"{options.cells * ours:.1f} s on one core, {theirs / ours:.0f}x, equal to {error:.0e}"
    wanted = f"under {WANTED_SECONDS:.0f} s, 1e-12"
    return [Row(what, "AP of repeated images", told, wanted, options.cells * ours < WANTED_SECONDS)]


def measure(options: argparse.Namespace) -> tuple[int, float, float, float]:
    """Return detections, seconds a cell of ours and of repetition, and the largest difference."""
    rng = np.random.default_rng(0)
    truth = {f"{n:05d}": _annotation(rng) for n in range(options.images)}
    cells = [_detections(truth, rng) for _ in range(options.timed)]
    counts = resamples(options.images).astype(np.int32)
    ground_truth = coco_ground_truth(truth, CLASSES)
    ours, found = [], []
    for cell in cells:
        start = time.process_time()
        found.append(ApResampler(rankings(ground_truth, cell, CLASSES)).resample(counts))
        ours.append(time.process_time() - start)
    theirs, errors = [], []
    for row in range(options.repeated):
        seconds, expected = _repeated(truth, cells[0], counts[row])
        mine = [*found[0].ap50[row], found[0].map50[row], found[0].map[row]]
        theirs.append(RESAMPLES * seconds)
        errors.append(float(np.abs(np.subtract(mine, expected)).max()))
    if not max(errors) < 1e-12:  # nan, for an absent class on one side, is an error too
        raise SystemExit(f"AP differs from that of repeated images by {max(errors)}.")
    return len(cells[0]), statistics.median(ours), statistics.median(theirs), max(errors)


def _repeated(truth: Truth, found: Found, counts: Counts) -> tuple[float, list[float]]:
    """Return the seconds of AP alone, without the copying, and what it is."""
    copies = {
        name: [f"{name}-{copy}" for copy in range(count)]
        for name, count in zip(truth, counts.tolist(), strict=True)
    }
    again = coco_ground_truth({copy: truth[n] for n in truth for copy in copies[n]}, CLASSES)
    items = [{**item, "image": copy} for item in found for copy in copies[item["image"]]]
    start = time.process_time()
    scores = evaluate(again, items, CLASSES).scores
    seconds = time.process_time() - start
    return seconds, [*scores.ap50.values(), scores.map50, scores.map]


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=420)
    parser.add_argument("--cells", type=int, default=30)
    parser.add_argument("--timed", type=int, default=3)
    parser.add_argument("--repeated", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
