"""The few kinds of stages: what makes each, and which of its files count."""

from __future__ import annotations

from pipelines.datasets.scenes.scene import SCENES_VERSION
from pipelines.store.stage import Kind
from pipelines.tasks.score_files import SCORES

CHECKS, FUSION = "pipelines.tasks.checks", "pipelines.tasks.fusion"
DETECTION, SEGMENTATION = "pipelines.tasks.detection", "pipelines.tasks.segmentation"

KINDS = {
    kind.name: kind
    for kind in (
        Kind("check_method", 1, f"{CHECKS}:check_method"),
        Kind("check_detector", 1, f"{CHECKS}:check_detector"),
        Kind("check_segmenter", 1, f"{CHECKS}:check_segmenter"),
        Kind("scenes", SCENES_VERSION, f"{CHECKS}:scenes", ("m3fd", "msrs")),
        Kind("split", 1, f"{CHECKS}:split", ("split.yaml",)),
        Kind("index", 1, f"{CHECKS}:index", ("index.json",)),
        Kind("train_fusion", 2, f"{FUSION}:train_fusion", ("weights.pt",), resumable=True),
        Kind("perturb", 1, f"{FUSION}:perturb", ("images",)),
        Kind("fuse", 3, f"{FUSION}:fuse", ("images",)),
        Kind("train_detector", 2, f"{DETECTION}:train_detector", ("weights.pt",)),
        Kind("detect", 1, f"{DETECTION}:detect", ("predictions.json",)),
        Kind("train_segmenter", 3, f"{SEGMENTATION}:train_segmenter", ("weights.pt",), True),
        Kind("segment", 2, f"{SEGMENTATION}:segment", ("masks", "confusion.npz")),
        Kind("score", 1, "pipelines.tasks.scoring:score", (SCORES,)),
    )
}
