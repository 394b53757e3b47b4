from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.errors import InputError
from fusion.pairs import ImagePair, list_pairs, write_png
from pipelines.datasets.near_duplicates import scenes_of
from pipelines.datasets.splits import draw_split

RATIOS = (8, 1, 1)


def groups_of(sizes: list[int]) -> list[list[str]]:
    names = iter(f"{n:05d}" for n in range(sum(sizes)))
    return [[next(names) for _ in range(size)] for size in sizes]


@pytest.fixture
def drive(tmp_path: Path) -> dict[str, ImagePair]:
    """Three scenes of four, one and three frames; frames of a scene differ by little noise."""
    rng = np.random.default_rng(0)
    number = 0
    for frames in (4, 1, 3):
        base = {m: rng.integers(0, 200, (8, 8, 3)).repeat(8, 0).repeat(8, 1) for m in ("Ir", "Vis")}
        for _ in range(frames):
            for modality, image in base.items():
                (tmp_path / modality).mkdir(exist_ok=True)
                noisy = image + rng.integers(0, 20, image.shape)
                write_png(tmp_path / modality / f"{number:05d}.png", noisy.astype(np.uint8))
            number += 1
    return {pair.name: pair for pair in list_pairs(tmp_path / "Ir", tmp_path / "Vis")}


def test_near_duplicate_neighbours_form_one_scene(drive: dict[str, ImagePair]) -> None:
    steps: list[tuple[int, int]] = []
    groups = scenes_of(drive, lambda *step: steps.append(step))
    assert [len(group) for group in groups] == [4, 1, 3]
    assert [name for group in groups for name in group] == list(drive)
    assert steps[-1] == (8, 8)


def test_one_modality_alone_does_not_make_a_scene(drive: dict[str, ImagePair]) -> None:
    names = list(drive)
    first, other = drive[names[0]], drive[names[4]]
    mixed = ImagePair("x", first.infrared, other.visible)
    assert len(scenes_of({names[0]: first, "x": mixed})) == 2


def test_flat_images_do_not_divide_by_zero(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", np.full((20, 20), 7, np.uint8))
    pairs = {n: ImagePair(n, tmp_path / f"{n}.png", tmp_path / f"{n}.png") for n in ("a", "b")}
    assert [len(group) for group in scenes_of(pairs)] == [1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_no_scene_is_divided_and_nothing_is_lost(seed: int) -> None:
    groups = groups_of([30, 12, 9, 9, 7, 5, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1])
    splits = draw_split(groups, RATIOS, seed)
    owner = {name: split for split, names in splits.items() for name in names}
    assert len(owner) == sum(map(len, splits.values())) == 100
    assert all(len({owner[name] for name in group}) == 1 for group in groups)
    assert abs(len(splits["train"]) - 80) <= 5
    assert abs(len(splits["val"]) - 10) <= 3
    assert all(names == sorted(names) for names in splits.values())


def test_the_seed_decides_and_nothing_else() -> None:
    groups = groups_of([1] * 50)
    assert draw_split(groups, RATIOS, 3) == draw_split(groups, RATIOS, 3)
    assert draw_split(groups, RATIOS, 3) != draw_split(groups, RATIOS, 4)


def test_a_huge_scene_leaves_something_for_every_split() -> None:
    splits = draw_split(groups_of([1, 100, 1]), RATIOS, 0)
    assert {name: len(names) for name, names in splits.items()} == {
        "train": 100,
        "val": 1,
        "test": 1,
    }


def test_a_split_without_a_share_stays_empty() -> None:
    splits = draw_split(groups_of([1] * 10), (4, 0, 1), 0)
    assert {name: len(names) for name, names in splits.items()} == {"train": 8, "val": 0, "test": 2}


def test_too_few_scenes_are_told() -> None:
    with pytest.raises(InputError, match=r"form only 2 scenes .* too few for 3 splits"):
        draw_split(groups_of([5, 5]), RATIOS, 0)


@pytest.mark.parametrize("ratios", [(0, 0, 0), (8, -1, 1)])
def test_ratios_that_are_none_are_told(ratios: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="give three numbers such as 8 1 1"):
        draw_split(groups_of([1] * 10), ratios, 0)
