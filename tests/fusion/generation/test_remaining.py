"""What an interrupted run of fusing finds there, and what it does again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.generation.remaining import remaining_pairs
from fusion.pairs import ImagePair, write_png


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    lots = np.random.default_rng(0)
    for name in "abcde":
        write_png(tmp_path / f"{name}.png", lots.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return [ImagePair(n, tmp_path / f"{n}.png", tmp_path / f"{n}.png") for n in "edcba"]


def test_whole_images_of_the_right_size_are_kept(pairs: list[ImagePair], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert remaining_pairs(pairs, out) == pairs
    out.mkdir()
    whole = (tmp_path / "a.png").read_bytes()
    (out / "a.png").write_bytes(whole)
    (out / "b.png").write_bytes(whole[: len(whole) // 2])
    write_png(out / "c.png", np.zeros((20, 31), np.uint8))
    write_png(out / "d.png", np.zeros((20, 30), np.uint8))
    (out / "e.png").write_bytes(b"")
    assert [pair.name for pair in remaining_pairs(pairs, out)] == ["e", "c", "b"]


def test_a_source_that_cannot_be_read_is_named(pairs: list[ImagePair], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_png(tmp_path / "out" / "a.png", np.zeros((20, 30), np.uint8))
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        remaining_pairs(pairs, tmp_path / "out")
