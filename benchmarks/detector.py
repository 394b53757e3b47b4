"""Training a detector: ours against `yolo detect train`, each in a process of its own.

    python -m benchmarks.detector [--images 32] [--epochs 2] [--repeats 2]

Both train YOLOv5u on the same exported scenes with the same settings, batches, seed and threads:
one thread less than there are cores, because that is what the command line takes. Both leave
out plots and the validation in between; the command line cannot leave out the one at its end,
which is why the time of the epochs alone, from results.csv, is compared beside the whole.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.common import Row, interleaved, table
from detection.datasets import M3FD_CLASSES, read_voc
from detection.export import export
from pipelines.datasets.scenes.writing import write_scenes

WANTED = 1.03
THREADS = min(8, max(1, (os.cpu_count() or 1) - 1))
HEIGHT, WIDTH = 240, 320
NAMES = {"yolo": "yolo detect train", "ours": "fuse-then"}
OURS = """
import sys
from pathlib import Path
from detection.settings import DetectorSettings
from detection.yolo.training import train
data, out, epochs, size, threads = sys.argv[1:]
settings = DetectorSettings(model="yolov5n", image_size=int(size), epochs=int(epochs), batch=8)
train(Path(data), settings, Path(out), threads=int(threads))
"""


def main() -> None:
    options = _options()
    _show(*measure(options), options)


def run() -> list[Row]:
    whole, epochs = measure(_options([]))
    rows = []
    for what, seconds in (("epochs", epochs), ("whole process", whole)):
        ratio = statistics.median(seconds["ours"]) / statistics.median(seconds["yolo"])
        name = f"detector training, {what}"
        rows.append(Row(name, "yolo detect train", f"{ratio:.2f}x", "1.03x", ratio <= WANTED))
    return rows


def measure(
    options: argparse.Namespace,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    with tempfile.TemporaryDirectory(prefix="benchmark-detector-") as folder:
        root = Path(folder)
        data = _scenes(root, options.images)
        epochs: dict[str, list[float]] = {name: [] for name in NAMES}
        runs = {
            "yolo": partial(_yolo, data, root, options, epochs),
            "ours": partial(_ours, data, root, options, epochs),
        }
        whole = interleaved(runs, options.repeats)
    return whole, epochs


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args(arguments)


def _scenes(root: Path, count: int) -> Path:
    """Write `count` scenes to train on and 4 to validate on; return the path of data.yaml."""
    write_scenes(root / "scenes", seed=0, train=count, val=4, test=0, height=HEIGHT, width=WIDTH)
    m3fd = root / "scenes" / "m3fd"
    images = {path.stem: path for path in sorted((m3fd / "Vis").glob("*.png"))}
    boxes = {
        name: read_voc(m3fd / "Annotation" / f"{name}.xml", M3FD_CLASSES, (WIDTH, HEIGHT))
        for name in images
    }
    names = list(images)
    splits = {"train": names[:count], "val": names[count:]}
    return export(images, boxes, splits, M3FD_CLASSES, root / "data")


def _ours(
    data: Path, root: Path, options: argparse.Namespace, epochs: dict[str, list[float]]
) -> None:
    out = root / "ours"
    arguments = [str(data), str(out), options.epochs, options.image_size, THREADS]
    _run([sys.executable, "-c", OURS, *map(str, arguments)], dict(os.environ))
    epochs["ours"].append(_epoch_seconds(out / "run" / "results.csv"))
    shutil.rmtree(out)


def _yolo(
    data: Path, root: Path, options: argparse.Namespace, epochs: dict[str, list[float]]
) -> None:
    settings = {
        "model": "yolov5n.yaml", "data": data, "epochs": options.epochs,
        "imgsz": options.image_size, "batch": 8, "nbs": 64, "optimizer": "SGD", "seed": 0,
        "deterministic": True, "amp": False, "device": "cpu", "workers": 0, "patience": 0,
        "val": False, "plots": False, "pretrained": False, "project": root / "yolo",
        "name": "run", "exist_ok": True,
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("yolo")), "detect", "train"]
    _run([*command, *(f"{key}={value}" for key, value in settings.items())], _offline(root))
    epochs["yolo"].append(_epoch_seconds(root / "yolo" / "run" / "results.csv"))
    shutil.rmtree(root / "yolo")


def _offline(root: Path) -> dict[str, str]:
    """Return an environment in which ultralytics neither asks the network nor for a font."""
    import matplotlib

    font = root / "settings" / "Ultralytics" / "Arial.ttf"
    font.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", font)
    own = {"YOLO_CONFIG_DIR": str(root / "settings"), "YOLO_OFFLINE": "true"}
    return {**os.environ, **own, "YOLO_AUTOINSTALL": "false", "NO_ALBUMENTATIONS_UPDATE": "1"}


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _epoch_seconds(results: Path) -> float:
    """Return the seconds from the start of the first epoch to the end of the last."""
    with results.open(encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["time"])


def _show(
    whole: dict[str, list[float]], epochs: dict[str, list[float]], options: argparse.Namespace
) -> None:
    rows = [
        {
            "training": NAMES[name],
            "epochs, median s": statistics.median(epochs[name]),
            "whole process, median s": statistics.median(whole[name]),
        }
        for name in whole
    ]
    title = (
        f"yolov5n, {options.image_size} pixels, batch 8, {options.images} images, "
        f"{options.epochs} epochs, {THREADS} threads"
    )
    table(title, rows)
    for what, values in (("epochs", epochs), ("whole process", whole)):
        ratio = statistics.median(values["ours"]) / statistics.median(values["yolo"])
        print(f"{what}: ours takes {ratio:.3f} of their time (wanted at most {WANTED})")


if __name__ == "__main__":
    main()
