"""The weights that come along are the ones that were made, and fit what starts from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from detection.datasets import M3FD_CLASSES
from detection.yolo.checkpoints import matching_layers
from pipelines.specs.base import STARTS, starting_point
from segmentation.model import build_model


def test_their_digests_are_on_file_and_they_are_small() -> None:
    lines = (STARTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    told = dict(reversed(line.split("  ")) for line in lines)
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STARTS.glob("*.pt")
    }
    assert told == found
    assert all(path.stat().st_size < 6e6 for path in STARTS.glob("*.pt"))


def test_a_word_names_them_and_they_fill_their_networks() -> None:
    detector, encoder = map(starting_point, ("scenes-yolov5n", "scenes-mobilenetv3"))
    with pytest.raises(
        ValueError, match=r'"scenes-yolov5" is no file.*Did you mean "scenes-yolov5n"'
    ):
        starting_point("scenes-yolov5")
    assert matching_layers("yolov5n", len(M3FD_CLASSES), 3, Path(detector)) > 300
    _, load = build_model("DeepLabV3Plus", "tu-mobilenetv3_small_100", 9, Path(encoder))
    assert load.loaded == load.total
