"""Test images on which methods differ most: the sources, then each method's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from fusion.pairs import read_rgb
from pipelines.datasets.dataset import Dataset
from pipelines.views.report import detections, masks
from pipelines.views.report.detections import CONFIDENCE, ENOUGH, Detected
from pipelines.views.report.images import read_if_there
from pipelines.views.report.masks import Segmented
from pipelines.views.report.model import Picture, Strip
from pipelines.views.report.spread import PerImage, mean_over_seeds, most_different

Images: TypeAlias = Mapping[tuple[str, int], Path]
"""The folder of fused images by row and seed."""

Found: TypeAlias = tuple[tuple[Strip, ...], tuple[str, ...]]
"""Strips, and how they were chosen."""

CHOICE = (
    "Chosen because the methods differ most on them, so they are not typical: of each third of the "
    "test images, in the order of their names, the one whose {score} has the largest standard "
    "deviation between methods{among}."
)
DRAWN = "Scores count all finished seeds; drawn is each method's first, {seeds}."


def detection_strips(
    cells: Mapping[str, Sequence[Detected]], dataset: Dataset, images: Images
) -> Found:
    """Return the images whose F1 differs most between methods, with boxes."""
    if not cells:
        return (), ()
    truth = next(iter(cells.values()))[0].truth
    score = f"F1 at confidence >= {CONFIDENCE:g} and IoU >= 0.5 (mean over seeds)"
    among = f", among images with at least {ENOUGH} objects"
    notes = _notes(score, among, [seeds[0].seed for seeds in cells.values()])
    allowed = detections.worth_showing(truth)
    strips = [
        Strip(name, f"standard deviation of F1 {spread:.2f}", _boxed(name, cells, dataset, images))
        for name, spread in _chosen(detections.scores_of(cells), allowed)
    ]
    return tuple(strips), notes


def segmentation_strips(
    cells: Mapping[str, Sequence[Segmented]], dataset: Dataset, images: Images
) -> Found:
    """Return the images whose mIoU differs most between methods, with masks."""
    if not cells:
        return (), ()
    score = "mIoU over the classes of its true mask (mean over seeds)"
    notes = _notes(score, "", [seeds[0].seed for seeds in cells.values()])
    names = next(iter(cells.values()))[0].names
    strips = [
        Strip(
            name, f"standard deviation of mIoU {spread:.2f}", _masked(name, cells, dataset, images)
        )
        for name, spread in _chosen(masks.scores_of(cells), names)
    ]
    return tuple(strips), notes


def _chosen(
    scores: Mapping[str, Sequence[PerImage]], allowed: Sequence[str]
) -> list[tuple[str, float]]:
    return most_different([mean_over_seeds(seeds) for seeds in scores.values()], allowed)


def _notes(score: str, among: str, seeds: Sequence[int]) -> tuple[str, ...]:
    shown = ", ".join(f"seed {seed}" for seed in sorted(set(seeds)))
    return CHOICE.format(score=score, among=among), DRAWN.format(seeds=shown)


def _boxed(
    name: str, cells: Mapping[str, Sequence[Detected]], dataset: Dataset, images: Images
) -> tuple[Picture, ...]:
    pair, classes = dataset.pairs[name], dataset.spec.classes
    boxes = next(iter(cells.values()))[0].truth[name]
    pictures = [
        detections.truth_picture(f"{title} image", read_rgb(path), boxes, classes)
        for title, path in (("infrared", pair.infrared), ("visible", pair.visible))
    ]
    for row, seeds in cells.items():
        image = read_if_there(images[row, seeds[0].seed] / f"{name}.png")
        pictures.append(detections.detected_picture(row, image, name, seeds[0], classes))
    return tuple(pictures)


def _masked(
    name: str, cells: Mapping[str, Sequence[Segmented]], dataset: Dataset, images: Images
) -> tuple[Picture, ...]:
    pair = dataset.pairs[name]
    infrared, visible = read_rgb(pair.infrared), read_rgb(pair.visible)
    pictures = [
        masks.source_picture("infrared image", infrared),
        masks.source_picture("visible image", visible),
        masks.masked_picture("ground truth", "", visible, dataset.labels[name]),
    ]
    for row, seeds in cells.items():
        image = read_if_there(images[row, seeds[0].seed] / f"{name}.png")
        remark = f"mIoU {100 * seeds[0].miou[name]:.1f}"
        mask = seeds[0].folder / "masks" / f"{name}.png"
        pictures.append(masks.masked_picture(row, remark, image, mask))
    return tuple(pictures)
