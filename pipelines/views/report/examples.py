"""Test images on which methods differ most: the sources, then each method's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import TypeAlias

from fusion.pairs import read_rgb
from fusion.palette import MASKS
from pipelines.datasets.dataset import Dataset
from pipelines.views.report import detections, masks
from pipelines.views.report.detections import CONFIDENCE, ENOUGH, Shown
from pipelines.views.report.images import image_uri, mask_uri, outline_uri
from pipelines.views.report.masks import Masks
from pipelines.views.report.model import Layer, Mark, PerImage, Picture, Side, Strip
from segmentation.datasets import read_mask

Images: TypeAlias = Mapping[tuple[str, int], Path]
"""The folder of fused images by row and seed."""

Found: TypeAlias = tuple[tuple[Strip, ...], tuple[str, ...]]
"""Strips, and how they were chosen."""

SHOWN = 3

CHOICE = (
    "Chosen because the methods differ most on them, so they are not typical: of each third of the "
    "test images, in the order of their names, the one whose {score} has the largest standard "
    "deviation between methods{among}."
)
DRAWN = "Scores count all finished seeds; drawn is each method's first, {seeds}."


def detection_strips(
    cells: Mapping[str, Sequence[Shown]], dataset: Dataset, images: Images
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
    cells: Mapping[str, Sequence[Masks]], dataset: Dataset, images: Images
) -> Found:
    """Return the images whose mIoU differs most between methods, with masks."""
    if not cells:
        return (), ()
    score = "mIoU over the classes of its true mask (mean over seeds)"
    notes = _notes(score, "", [seeds[0].seed for seeds in cells.values()])
    names = next(iter(cells.values()))[0].kept.names
    strips = []
    for name, spread in _chosen(masks.scores_of(cells), names):
        remark = f"standard deviation of mIoU {spread:.2f}"
        pictures = _masked(name, cells, dataset, images)
        truth = read_mask(dataset.labels[name], len(MASKS))
        strips.append(Strip(name, remark, pictures, outline_uri(truth, MASKS)))
    return tuple(strips), notes


def _chosen(
    scores: Mapping[str, Sequence[PerImage]], allowed: Sequence[str]
) -> list[tuple[str, float]]:
    return most_different([mean_over_seeds(seeds) for seeds in scores.values()], allowed)


def mean_over_seeds(seeds: Sequence[PerImage]) -> dict[str, float]:
    """Return each image's mean over a method's seeds, for images that all of them have."""
    names = set(seeds[0]).intersection(*seeds[1:]) if seeds else set()
    return {name: fmean(scores[name] for scores in seeds) for name in sorted(names)}


def most_different(scores: Sequence[PerImage], allowed: Sequence[str]) -> list[tuple[str, float]]:
    """Return up to `SHOWN` images with the standard deviation of their score between methods.

    One from each third of `allowed`, in the order of their names: neighbours are often frames of
    one scene. None where fewer than two methods have scores, or where all agree.
    """
    if len(scores) < 2:
        return []
    names = sorted(set(allowed).intersection(*scores))
    size = max(1, -(-len(names) // SHOWN))
    chosen = []
    for start in range(0, len(names), size):
        spreads = {n: pstdev(of[n] for of in scores) for n in names[start : start + size]}
        name = max(spreads, key=lambda n: spreads[n])
        if spreads[name] > 0:
            chosen.append((name, spreads[name]))
    return chosen


def _notes(score: str, among: str, seeds: Sequence[int]) -> tuple[str, ...]:
    shown = ", ".join(f"seed {seed}" for seed in sorted(set(seeds)))
    return CHOICE.format(score=score, among=among), DRAWN.format(seeds=shown)


def _boxed(
    name: str, cells: Mapping[str, Sequence[Shown]], dataset: Dataset, images: Images
) -> tuple[Picture, ...]:
    pair, classes = dataset.pairs[name], dataset.spec.classes
    boxes = next(iter(cells.values()))[0].truth[name]
    objects, marks = f"{len(boxes)} objects", detections.truth_marks(boxes, classes)
    pictures = [
        _picture(f"{title} image", objects, path, marks)
        for title, path in (("infrared", pair.infrared), ("visible", pair.visible))
    ]
    for row, seeds in cells.items():
        remark, marks = detections.outcome(name, seeds[0], classes)
        path = images[row, seeds[0].seed] / f"{name}.png"
        pictures.append(_picture(row, remark, path, marks, method=row))
    return tuple(pictures)


def _masked(
    name: str, cells: Mapping[str, Sequence[Masks]], dataset: Dataset, images: Images
) -> tuple[Picture, ...]:
    pair = dataset.pairs[name]
    pictures = [
        _picture("infrared image", "", pair.infrared),
        _picture("visible image", "", pair.visible),
        _picture("ground truth", "", pair.visible, side="truth", mask=dataset.labels[name]),
    ]
    for row, seeds in cells.items():
        remark = f"mIoU {100 * seeds[0].miou[name]:.1f}"
        path = images[row, seeds[0].seed] / f"{name}.png"
        mask = seeds[0].folder / "masks" / f"{name}.png"
        pictures.append(_picture(row, remark, path, mask=mask, method=row))
    return tuple(pictures)


def _picture(
    title: str,
    remark: str,
    path: Path,
    marks: tuple[Mark, ...] = (),
    *,
    side: Side = "prediction",
    mask: Path | None = None,
    method: str | None = None,
) -> Picture:
    """Return an image with what lies over it, or what is known where somebody removed a file."""
    if not all(file.is_file() for file in (path, mask or path)):
        return Picture(title, remark, "", 4, 3, method=method)
    image = read_rgb(path)
    height, width = image.shape[:2]
    layer = None
    if mask is not None:
        ids = read_mask(mask, len(MASKS), size=(width, height))
        layer = Layer(side, mask_uri(ids, MASKS))
    return Picture(title, remark, image_uri(image), width, height, marks, layer, method)
