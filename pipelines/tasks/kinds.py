"""The few stages, as plain functions: what a job's spec and inputs say becomes files in `out`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.datasets.scenes.scene import SCENES_VERSION
from pipelines.execution.job import Job, Metrics
from pipelines.tasks.checks import (
    check_detector,
    check_method,
    check_segmenter,
    index,
    scenes,
    split,
)
from pipelines.tasks.detection import detect, train_detector
from pipelines.tasks.fusion import fuse, perturb, train_fusion
from pipelines.tasks.score_files import SCORES
from pipelines.tasks.scoring import score
from pipelines.tasks.segmentation import segment, train_segmenter


@dataclass(frozen=True)
class Kind:
    """A kind of stage; raise `version` whenever the body's result changes.

    `products` are the files whose bytes downstream stages depend on; a `resumable` body continues
    from what an interrupted run left in `out`.
    """

    body: Callable[[Job], Metrics]
    version: int
    products: tuple[str, ...]
    resumable: bool = False


KINDS: dict[str, Kind] = {
    "check_method": Kind(check_method, 1, ()),
    "check_detector": Kind(check_detector, 1, ()),
    "check_segmenter": Kind(check_segmenter, 1, ()),
    "scenes": Kind(scenes, SCENES_VERSION, ("m3fd", "msrs")),
    "split": Kind(split, 1, ("split.yaml",)),
    "index": Kind(index, 1, ("index.json",)),
    "train_fusion": Kind(train_fusion, 1, ("weights.pt",), resumable=True),
    "perturb": Kind(perturb, 1, ("images",)),
    "fuse": Kind(fuse, 2, ("images",)),
    "train_detector": Kind(train_detector, 2, ("weights.pt",)),
    "detect": Kind(detect, 1, ("predictions.json",)),
    "train_segmenter": Kind(train_segmenter, 3, ("weights.pt",), resumable=True),
    "segment": Kind(segment, 2, ("masks", "confusion.npz")),
    "score": Kind(score, 1, (SCORES,)),
}
