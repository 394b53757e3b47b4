"""Train the networks that the demo's trainings start from: ``python -m benchmarks.starts``.

A detector and a segmenter learn the embedded scenes, drawn with a seed that no experiment uses,
from images of every kind by turns: infrared, visible, and three simple fusions of the two. So the
start favours no method, and what the demo's few epochs teach is the difference. Written as half
floats to ``configs/starts``, with their digests in ``SHA256SUMS``; an hour or two on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from detection.datasets import M3FD_CLASSES, read_voc
from detection.export import export
from detection.settings import DetectorSettings
from detection.yolo.training import EpochHook
from detection.yolo.training import train as train_detector
from fusion import load_method
from fusion.generation.folder import fuse_folder
from fusion.pairs import list_pairs
from fusion.torch_tools import load_checkpoint, write_checkpoint
from pipelines.datasets.layouts.msrs import LAYOUT as MSRS
from pipelines.datasets.scenes.writing import write_scenes
from segmentation.settings import SegmenterSettings
from segmentation.training import train as train_segmenter

STARTS = Path(__file__).resolve().parents[1] / "configs" / "starts"
KINDS = ("infrared", "visible", "average", "maximum", "laplacian")
SEED, SCENES, HEIGHT, WIDTH = 1_000_000, 640, 160, 208
"""The experiments' scenes have small seeds: no image is drawn twice."""
DETECTOR = DetectorSettings(
    model="yolov5n",
    image_size=224,
    epochs=30,
    batch=8,
    nominal_batch=8,
    learning_rate=0.02,
    mosaic=0.5,
)
SEGMENTER = SegmenterSettings(
    architecture="DeepLabV3Plus",
    encoder="tu-mobilenetv3_small_100",
    height=HEIGHT,
    width=WIDTH,
    epochs=10,
    batch=8,
    learning_rate=0.05,
    schedule="poly",
    class_weights="root_frequency",
)


def images_of_all_kinds(root: Path) -> dict[str, Path]:
    """Fuse the scenes by turns in each of `KINDS`; return the images by name."""
    pairs = list_pairs(root / "m3fd" / "Ir", root / "m3fd" / "Vis")
    for turn, kind in enumerate(KINDS):
        fuse_folder(load_method(kind), pairs[turn :: len(KINDS)], root / "fused")
    return {pair.name: root / "fused" / f"{pair.name}.png" for pair in pairs}


def detector(root: Path, images: Mapping[str, Path]) -> dict[str, Tensor]:
    """Train the detector and return its weights."""
    boxes = {
        name: read_voc(root / "m3fd" / "Annotation" / f"{name}.xml", M3FD_CLASSES, (WIDTH, HEIGHT))
        for name in images
    }
    data = export(images, boxes, {"train": list(images)}, M3FD_CLASSES, root / "yolo")
    result = train_detector(data, DETECTOR, root / "detector", on_epoch=_told(DETECTOR.epochs))
    weights: dict[str, Tensor] = load_checkpoint(result.weights)["state_dict"]
    return weights


def encoder(root: Path, images: Mapping[str, Path]) -> dict[str, Tensor]:
    """Train the segmenter and return the weights of its encoder."""
    masks = {
        name: root / "msrs" / "train" / "Segmentation_labels" / f"{name}.png" for name in images
    }
    splits = {"train": list(images)}
    out = root / "segmenter"
    out.mkdir()
    result = train_segmenter(
        images,
        masks,
        splits,
        MSRS.classes,
        SEGMENTER,
        out,
        on_epoch=lambda row: print(f"segmenter, epoch {row.epoch}: {row.loss:.4f}", flush=True),
    )
    weights: dict[str, Tensor] = load_checkpoint(result.weights)["state_dict"]
    prefix = "encoder."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _told(epochs: int) -> EpochHook:
    def told(epoch: int, _of: int, values: dict[str, float]) -> None:
        shown = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        print(f"detector, epoch {epoch} of {epochs}: {shown}", flush=True)

    return told


NETWORKS = {"scenes-yolov5n": detector, "scenes-mobilenetv3": encoder}


def _write(out: Path, name: str, weights: Mapping[str, Tensor]) -> None:
    halved = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    path = out / f"{name}.pt"
    write_checkpoint(path, halved)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def main() -> None:
    """Draw the scenes, fuse them, train both networks, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=STARTS)
    parser.add_argument("--only", choices=[*NETWORKS], help="train one of them")
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "scenes"
        write_scenes(root, seed=SEED, train=SCENES, val=0, test=0, height=HEIGHT, width=WIDTH)
        images = images_of_all_kinds(root)
        for name in [given.only] if given.only else NETWORKS:
            _write(out, name, NETWORKS[name](root, images))
    paths = sorted(out.glob("*.pt"))
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in paths)
    (out / "SHA256SUMS").write_text(sums, encoding="utf-8")


if __name__ == "__main__":
    main()
