"""Cost against size: 250, 500, 1000 and 2000 pairs from the files on disk to both scores.

    python -m benchmarks.size [PNG]

Small images (160x120) and a method without a network, so that what is counted is ours: listing,
digests, the split by scenes, the index, fusing, AP of made-up detections, IoU of made-up masks.
Each point runs in a process of its own, whose peak memory is the operating system's count. Seconds
are the processor's, over all threads: a busy machine stretches the wall time of some points only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import Row, table

SIZES = (250, 500, 1000, 2000)
HEIGHT, WIDTH, CLASSES = 120, 160, ("car", "person", "bus")
LINEAR, FLAT = 0.10, 1.10
"""How far from 1 the exponent of size in the time may be (one well below 1 is a disturbed
measurement, no proof), and how much peak memory may grow over the whole range."""
REPEATS = 2
MEGABYTE = 1024.0
"""In ru_maxrss's unit, KiB."""

Point = dict[str, float]


def run(picture: Path | None = None) -> list[Row]:
    """Measure every size, fit the exponent, and plot when a path is given."""
    with tempfile.TemporaryDirectory(prefix="size-") as folder:
        points = {size: _measure(_data(Path(folder) / f"{size}", size), size) for size in SIZES}
    if picture is not None:
        plot(points, picture)
    seconds = [sum(v for k, v in p.items() if k != "peak") for p in points.values()]
    exponent = float(np.polyfit(np.log(SIZES), np.log(seconds), 1)[0])
    peaks = [point["peak"] for point in points.values()]
    growth = max(peaks) / min(peaks)
    sizes = ", ".join(map(str, SIZES))
    shown = ", ".join(f"{s:.1f}" for s in seconds)
    memory = ", ".join(f"{peak:.0f}" for peak in peaks)
    return [
        Row(
            f"plan, index, fuse and score {sizes} pairs: {shown} processor s",
            "time linear in size",
            f"size^{exponent:.2f}",
            f"an exponent of 1 +- {LINEAR:.2f}",
            abs(exponent - 1) <= LINEAR,
        ),
        Row(
            f"the same: peak memory {memory} MB",
            "memory flat",
            f"{growth:.2f}x from smallest to largest",
            f"{FLAT:.2f}x or less",
            growth <= FLAT,
        ),
    ]


def _measure(root: Path, size: int) -> Point:
    """Return the fastest seconds of each phase, and the peak memory of one process in MB."""
    found: list[Point] = []
    for number in range(REPEATS):
        command = [sys.executable, "-m", "benchmarks.size", "point", str(root), str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    return {key: min(point[key] for point in found) for key in found[0]}


def point(root: Path, name: str) -> Point:
    """Take one dataset through the stages here; return processor seconds by phase."""
    import torch

    import fusion.generation.folder  # noqa: F401 - imports are not what is measured
    from pipelines.execution.runner import make_here
    from pipelines.planning.planner import Planner
    from pipelines.planning.preparation import Preparation
    from pipelines.specs.dataset import DatasetSpec
    from pipelines.specs.method import MethodSpec
    from pipelines.store.store import Store
    from pipelines.tasks.facts import Facts

    torch.set_num_threads(1)
    seconds: Point = {}

    def timed(phase: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        seconds[phase] = time.process_time() - start
        return result

    data = {"name": "synthetic", "layout": "yolo", "root": root / "data", "classes": CLASSES}
    spec = DatasetSpec.model_validate(data)
    store = Store(root / f"store{name}")
    with Preparation(store, lambda _title: lambda *_: None) as ready:
        dataset, index = timed("plan", lambda: ready.open(spec))
        planner = Planner(ready.open, Facts(store.digests))
        fused, _ = planner.fused(MethodSpec(name="average"), spec, 0)
    timed("fuse", lambda: make_here(fused, store, lambda *_: None))
    entries = json.loads((store.directory(index) / "index.json").read_text(encoding="utf-8"))
    timed("AP", lambda: _detection(entries))
    masks = dict(sorted((p.stem, p) for p in (root / "masks").iterdir()))
    timed("IoU", lambda: _segmentation(masks))
    assert len(masks) == len(dataset.pairs)
    return {**seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE}


def _detection(entries: dict[str, Any]) -> None:
    from detection.ap import evaluate
    from detection.datasets import coco_ground_truth
    from pipelines.datasets.labels import boxes_of

    truth = coco_ground_truth(boxes_of(entries), CLASSES)
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    dice = np.random.default_rng(0)
    found = [
        {
            "image": names[box["image_id"]],
            "category_id": box["category_id"],
            "bbox": [value + dice.normal(0, 2) for value in box["bbox"]],
            "score": dice.random(),
        }
        for box in truth["annotations"]
    ]
    scores = evaluate(truth, found, CLASSES).scores
    assert 0 < scores.map50 <= 1


def _segmentation(masks: dict[str, Path]) -> None:
    from segmentation.iou import evaluate

    scores, _ = evaluate(masks, masks, CLASSES)
    assert scores.miou == 1


def _data(root: Path, size: int) -> Path:
    """Write `size` pairs with boxes and masks; no two are near-duplicates."""
    folders = {n: root / "data" / n for n in ("infrared", "visible", "labels")}
    folders["masks"] = root / "masks"
    for folder in folders.values():
        folder.mkdir(parents=True)
    dice = np.random.default_rng(size)
    for number in range(size):
        coarse = dice.integers(0, 256, (12, 16, 4), dtype=np.uint8)
        image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folders["infrared"] / f"{number:05}.png"), image[..., 3])
        cv2.imwrite(str(folders["visible"] / f"{number:05}.png"), image[..., :3])
        mask = (image[..., 0] // 86).astype(np.uint8)
        cv2.imwrite(str(folders["masks"] / f"{number:05}.png"), mask)
        boxes = [
            f"{dice.integers(len(CLASSES))} {x:.4f} {y:.4f} 0.2 0.2"
            for x, y in dice.uniform(0.15, 0.85, (4, 2))
        ]
        (folders["labels"] / f"{number:05}.txt").write_text("\n".join(boxes), encoding="utf-8")
    return root


def plot(points: dict[int, Point], path: Path) -> None:
    """Draw seconds by phase and peak memory against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    phases = [key for key in next(iter(points.values())) if key != "peak"]
    total = [sum(point[phase] for phase in phases) for point in points.values()]
    left.plot(SIZES, total, "k.-", label="all")
    for phase in phases:
        left.plot(SIZES, [point[phase] for point in points.values()], ".-", label=phase)
    left.set(xlabel="pairs", ylabel="processor seconds")
    left.legend(frameon=False)
    right.plot(SIZES, [point["peak"] for point in points.values()], "k.-")
    right.set(xlabel="pairs", ylabel="peak memory of one process, MB")
    for axes, top in ((left, max(total)), (right, max(p["peak"] for p in points.values()))):
        axes.set(xlim=(0, 1.05 * SIZES[-1]), ylim=(0, 1.1 * top))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str]) -> None:
    """Print the table, and plot to the path given; ``point`` is what the benchmark starts."""
    if arguments[:1] == ["point"]:
        print(json.dumps(point(Path(arguments[1]), arguments[2])))
        return
    table(
        "cost against size", [vars(row) for row in run(Path(arguments[0]) if arguments else None)]
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
