"""Training a segmenter: ours against the loop that a user of smp would write.

    python -m benchmarks.segmenter [--threads 2] [--images 24] [--epochs 2] [--repeats 2]

Both train DeepLabV3+ with MobileNetV2 on the same images of the embedded scenes, with the same
augmentation, loss, optimiser, batches and number of steps, from files to a file of weights. The
plain loop reads and decodes each image in each epoch, normalises it in the data set, and has the
default memory format; it is run with 0, 1 and 2 loading processes, and the best of them counts.
Each training has a new process, whose imports are not counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.common import Row, interleaved, table
from fusion.generation.memory import keep_freed_memory
from pipelines.datasets.scenes.writing import write_scenes
from segmentation.datasets import MSRS_CLASSES
from segmentation.settings import SegmenterSettings
from segmentation.training import train

WORKERS = (0, 1, 2)
WANTED = 1.3


def main() -> None:
    options = _options()
    seconds, settings = measure(options)
    _show(seconds, settings, options)


def run() -> list[Row]:
    rows = []
    for threads in (1, 2):
        seconds, _ = measure(_options(["--threads", str(threads)]))
        median = {name: statistics.median(values) for name, values in seconds.items()}
        ours, best = median.pop("fuse-then"), min(median.values())
        what = f"segmenter training, end to end, {threads} threads"
        told = f"{best / ours:.2f}x ({ours:.1f} s, {best:.1f} s)"
        rows.append(Row(what, "plain smp loop", told, "1.3x", best >= 1.3 * ours))
    return rows


def measure(
    options: argparse.Namespace,
) -> tuple[dict[str, list[float]], SegmenterSettings]:
    settings = SegmenterSettings(
        architecture="DeepLabV3Plus",
        encoder=options.encoder,
        epochs=options.epochs,
        height=options.height,
        width=options.width,
        learning_rate=0.01,
    )
    with tempfile.TemporaryDirectory(prefix="benchmark-segmenter-") as folder:
        images, masks = _scenes(Path(folder), options.images)
        seconds: dict[str, list[float]] = {}
        loops = _candidates(images, masks, settings, options.threads, Path(folder))
        runs = {name: partial(_alone, seconds, name, loop) for name, loop in loops.items()}
        interleaved(runs, options.repeats)
    return seconds, settings


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--encoder", default="mobilenet_v2")
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--width", type=int, default=320)
    return parser.parse_args(arguments)


def _scenes(root: Path, count: int) -> tuple[dict[str, Path], dict[str, Path]]:
    """Write scenes of 480x640, the size of MSRS, and return visible images and masks by name."""
    write_scenes(root, seed=0, train=count, val=0, test=0, height=480, width=640)
    folder = root / "msrs" / "train"
    images = {path.stem: path for path in sorted((folder / "vi").glob("*.png"))}
    return images, {name: folder / "Segmentation_labels" / f"{name}.png" for name in images}


def _candidates(
    images: dict[str, Path],
    masks: dict[str, Path],
    settings: SegmenterSettings,
    threads: int,
    root: Path,
) -> dict[str, Callable[[], object]]:
    runs: dict[str, Callable[[], object]] = {}
    runs["fuse-then"] = partial(our_training, images, masks, settings, threads, root)
    for workers in WORKERS:
        run = partial(plain_loop, images, masks, settings, threads, workers, root / "plain.pt")
        runs[f"plain smp loop, {workers} workers"] = run
    return runs


def _alone(seconds: dict[str, list[float]], name: str, run: Callable[[], object]) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        seconds.setdefault(name, []).append(process.submit(_timed, run).result())


def _timed(run: Callable[[], object]) -> float:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    for module in ("albumentations.pytorch", "segmentation_models_pytorch"):
        import_module(module)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def our_training(
    images: dict[str, Path],
    masks: dict[str, Path],
    settings: SegmenterSettings,
    threads: int,
    root: Path,
) -> None:
    keep_freed_memory()
    with tempfile.TemporaryDirectory(dir=root) as out:
        splits = {"train": list(images)}
        train(images, masks, splits, MSRS_CLASSES, settings, Path(out), threads=threads)


def plain_loop(
    images: dict[str, Path],
    masks: dict[str, Path],
    settings: SegmenterSettings,
    threads: int,
    workers: int,
    weights: Path,
) -> None:
    """Train as the examples of smp do."""
    import segmentation_models_pytorch as smp

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model: nn.Module = smp.DeepLabV3Plus(
        settings.encoder, encoder_weights=None, classes=len(MSRS_CLASSES)
    )
    data = PlainDataset(images, masks, settings)
    loader = DataLoader(
        data, settings.batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(settings.epochs):
        for pictures, ids in loader:
            optimizer.zero_grad()
            loss = criterion(model(pictures), ids)
            loss.backward()
            optimizer.step()
    torch.save(model.state_dict(), weights)


class PlainDataset(Dataset[tuple[Tensor, Tensor]]):
    def __init__(
        self, images: dict[str, Path], masks: dict[str, Path], settings: SegmenterSettings
    ) -> None:
        self.files = [(images[name], masks[name]) for name in images]
        self.size = (settings.width, settings.height)
        self.chain = _plain_chain(settings)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.files[index]
        pixels = np.asarray(cv2.imread(str(image)), np.uint8)
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        ids = np.asarray(cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE), np.uint8)
        both = self.chain(
            image=cv2.resize(pixels, self.size, interpolation=cv2.INTER_AREA),
            mask=cv2.resize(ids, self.size, interpolation=cv2.INTER_NEAREST),
        )
        return both["image"], both["mask"].long()


def _plain_chain(settings: SegmenterSettings) -> Any:
    import albumentations
    from albumentations.pytorch import ToTensorV2

    aspect = settings.width / settings.height
    return albumentations.Compose(
        [
            albumentations.RandomResizedCrop(
                (settings.height, settings.width),
                scale=(0.35, 1.0),
                ratio=(0.85 * aspect, 1.15 * aspect),
            ),
            albumentations.HorizontalFlip(p=0.5),
            albumentations.RandomBrightnessContrast(0.2, 0.2, p=0.5),
            albumentations.Normalize(),
            ToTensorV2(),
        ]
    )


def _show(
    seconds: dict[str, list[float]], settings: SegmenterSettings, options: argparse.Namespace
) -> None:
    median = {name: statistics.median(values) for name, values in seconds.items()}
    best = min(value for name, value in median.items() if name != "fuse-then")
    steps = settings.epochs * int(np.ceil(options.images / settings.batch))
    title = (
        f"DeepLabV3+ {settings.encoder}, {settings.height}x{settings.width}, batch "
        f"{settings.batch}, {steps} steps, {options.threads} threads"
    )
    rows = [
        {
            "training": name,
            "median s": s,
            "s a step": s / steps,
            "ours is x faster": s / median["fuse-then"],
        }
        for name, s in median.items()
    ]
    table(title, rows)
    print(f"Against the best plain loop: {best / median['fuse-then']:.2f}x (wanted {WANTED}x)")


if __name__ == "__main__":
    main()
