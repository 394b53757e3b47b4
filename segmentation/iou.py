"""Intersection over union: one int64 confusion matrix over the whole test set, then scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.errors import InputError
from fusion.nan import mean_present, none_if_nan
from segmentation.datasets import read_mask

Confusion = NDArray[np.int64]
"""int64[n, n]: pixels by true class (row) and predicted class (column)."""


@dataclass(frozen=True)
class SegmentationScores:
    """IoU per class and its means, each 0..1, over the classes present in the ground truth.

    `iou` is nan for a class that is absent from the ground truth. `miou` counts background
    (class 0), `miou_foreground` does not; nan when no class is left.
    """

    iou: Mapping[str, float]
    miou: float
    miou_foreground: float
    confusion: Confusion

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None where a score is nan."""
        return {
            "iou": {name: none_if_nan(value) for name, value in self.iou.items()},
            "miou": none_if_nan(self.miou),
            "miou_foreground": none_if_nan(self.miou_foreground),
            "confusion": self.confusion.tolist(),
        }


def confusion_matrix(
    truth: NDArray[np.integer], prediction: NDArray[np.integer], classes: int
) -> Confusion:
    """Count the pixels of two equal arrays of ids 0..classes-1 by true and predicted class.

    Raises InputError when the shapes differ or an id is out of range.
    """
    if truth.shape != prediction.shape:
        raise InputError(
            f"The truth has shape {truth.shape} but the prediction {prediction.shape}; "
            f"predict at the size of the mask."
        )
    for what, ids in (("truth", truth), ("prediction", prediction)):
        if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= classes):
            raise InputError(f"The {what} holds ids outside 0..{classes - 1}; correct the masks.")
    pairs = truth.astype(np.int64).ravel() * classes + prediction.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def scores(confusion: Confusion, names: Sequence[str]) -> SegmentationScores:
    """Return TP / (TP + FP + FN) per class, and the means, of a summed confusion matrix.

    Raises InputError when the matrix is not n x n for n names, or two names are equal.
    """
    if confusion.shape != (len(names), len(names)) or len(set(names)) != len(names):
        raise InputError(
            f"A confusion matrix of shape {confusion.shape} cannot be scored with the classes "
            f"{', '.join(names)}; give one distinct name per class."
        )
    values = class_iou(confusion)
    return SegmentationScores(
        iou=dict(zip(names, values.tolist(), strict=True)),
        miou=float(mean_present(values)),
        miou_foreground=float(mean_present(values[1:])),
        confusion=confusion,
    )


def class_iou(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return IoU by class of ``[..., n, n]`` confusions as ``[..., n]``, nan where absent."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    truth = confusion.sum(axis=-1)
    union = truth + confusion.sum(axis=-2) - hits
    iou: NDArray[np.float64] = np.full(hits.shape, np.nan)
    np.divide(hits, union, out=iou, where=truth > 0)
    return iou


def evaluate(
    masks: Mapping[str, Path], predictions: Mapping[str, Path], names: Sequence[str]
) -> tuple[SegmentationScores, NDArray[np.int64]]:
    """Score predicted masks against true ones of the same names, over the whole set.

    Also returns each image's own confusion, int64[images, n, n] in sorted order of the names, for
    resampling. Raises InputError for a missing or surplus prediction, no mask at all, unequal
    sizes, or an id out of range.
    """
    _check_names(masks, predictions)
    n = len(names)
    per_image = np.zeros((len(masks), n, n), dtype=np.int64)
    for row, name in enumerate(sorted(masks)):
        truth = read_mask(masks[name], n)
        guess = read_mask(predictions[name], n, size=(truth.shape[1], truth.shape[0]))
        per_image[row] = confusion_matrix(truth, guess, n)
    return scores(per_image.sum(axis=0), names), per_image


def _check_names(masks: Mapping[str, Path], predictions: Mapping[str, Path]) -> None:
    if not masks:
        raise InputError("There is no true mask to score against; check the test split.")
    lacking = sorted(masks.keys() - predictions.keys())
    if lacking:
        raise InputError(
            f'"{lacking[0]}" has a mask but no prediction ({len(lacking)} such in all); '
            f"predict every image of the test split."
        )
    surplus = sorted(predictions.keys() - masks.keys())
    if surplus:
        raise InputError(
            f'"{surplus[0]}" has a prediction but no mask ({len(surplus)} such in all); '
            f"add the mask or leave the image out."
        )
