from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fusion.errors import InputError
from fusion.pairs import ImagePair, list_pairs, write_png
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.datasets.splitting.drawing import draw_file
from pipelines.datasets.splitting.folds import draw_folds
from pipelines.datasets.splitting.near_duplicates import scenes_of
from pipelines.datasets.splitting.splits import class_shares, draw_split
from pipelines.specs.dataset import DatasetSpec, SplitSpec

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
    splits = draw_split(groups, RATIOS, seed).splits
    owner = {name: split for split, names in splits.items() for name in names}
    assert len(owner) == sum(map(len, splits.values())) == 100
    assert all(len({owner[name] for name in group}) == 1 for group in groups)
    assert all(owner[group[0]] == "train" for group in groups if len(group) > 10 / 3)
    assert 6 <= len(splits["val"]) <= 10
    assert 6 <= len(splits["test"]) <= 10
    assert all(names == sorted(names) for names in splits.values())


def test_the_seed_decides_and_nothing_else() -> None:
    groups = groups_of([1] * 50)
    assert draw_split(groups, RATIOS, 3) == draw_split(groups, RATIOS, 3)
    assert draw_split(groups, RATIOS, 3) != draw_split(groups, RATIOS, 4)


def test_the_seed_decides_of_large_scenes_too() -> None:
    """Filled largest first, val and test always got the second and third largest."""
    sizes = np.random.default_rng(0).geometric(1 / 20, 200)
    groups = groups_of(sizes.tolist())
    tests = [set(draw_split(groups, RATIOS, seed).splits["test"]) for seed in range(20)]
    shared = [len(a & b) / len(a | b) for a, b in combinations(tests, 2)]
    assert np.mean(shared) < 0.1  # of two draws by lot: 0.05
    assert all(abs(len(test) - sizes.sum() / 10) < sizes.sum() / 100 for test in tests)


def test_a_huge_scene_leaves_something_for_every_split() -> None:
    splits = draw_split(groups_of([1, 100, 1]), RATIOS, 0).splits
    assert {name: len(names) for name, names in splits.items()} == {
        "train": 100,
        "val": 1,
        "test": 1,
    }


def test_scenes_that_are_all_too_large_are_told() -> None:
    with pytest.raises(InputError, match=r"smaller than a third of val, which is to have 4 images"):
        draw_split(groups_of([10] * 4), RATIOS, 0)


def test_a_split_without_a_share_stays_empty() -> None:
    splits = draw_split(groups_of([1] * 10), (4, 0, 1), 0).splits
    assert {name: len(names) for name, names in splits.items()} == {"train": 8, "val": 0, "test": 2}


def test_a_draw_without_half_of_a_class_is_drawn_again() -> None:
    """Ten of a hundred images show a bus, three each: val and test want one of them at least."""
    groups = groups_of([1] * 100)
    counts = {group[0]: Counter({"Bus": 3, "Car": 1}) for group in groups[:10]}
    draws = []
    for seed in range(30):
        drawn = draw_split(groups, RATIOS, seed, counts)
        draws.append(drawn.draws)
        assert all(any(n in counts for n in drawn.splits[part]) for part in ("val", "test"))
        shares = class_shares(drawn.splits, counts)
        assert sum(shares[part]["Bus"] for part in shares) == pytest.approx(1)
    assert 1 in draws
    assert max(draws) > 1  # a third of the first draws has no bus in val


def test_a_class_that_no_draw_spreads_is_named() -> None:
    groups = groups_of([1] * 100)
    counts = {groups[0][0]: Counter({"Bus": 40}), groups[1][0]: Counter({"Car": 3})}
    with pytest.raises(InputError, match=r'In 1000 draws .* of "Bus": too few scenes show it'):
        draw_split(groups, RATIOS, 0, counts)


def test_too_few_scenes_are_told() -> None:
    with pytest.raises(InputError, match=r"form only 2 scenes .* too few for 3 splits"):
        draw_split(groups_of([5, 5]), RATIOS, 0)


@pytest.mark.parametrize("ratios", [(0, 0, 0), (8, -1, 1)])
def test_ratios_that_are_none_are_told(ratios: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="give three numbers such as 8 1 1"):
        draw_split(groups_of([1] * 10), ratios, 0)


def test_folds_test_every_image_once_in_whole_scenes() -> None:
    groups = groups_of([30, 12, 9, 9, 7, 5, 5, 4, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1])
    folds = draw_folds(groups, 3, 0)
    owner = {name: fold for fold, names in enumerate(folds.test) for name in names}
    assert sorted(map(len, folds.test)) == [33, 33, 34]
    assert len(owner) == 100
    assert all(len({owner[name] for name in group}) == 1 for group in groups)
    for test, val in zip(folds.test, folds.val, strict=True):
        assert val
        assert not set(val) & set(test)
    assert draw_folds(groups, 3, 0) == folds != draw_folds(groups, 3, 1)


def test_folds_are_even_in_every_class() -> None:
    rng = np.random.default_rng(0)
    groups = groups_of(rng.geometric(1 / 5, 80).tolist())
    counts = {
        name: Counter({"Car": 3, "Bus": int(rng.random() < 0.15)}) for of in groups for name in of
    }
    folds = draw_folds(groups, 5, 0, counts)
    shares = [of[label] for of in folds.shares(counts).values() for label in ("Car", "Bus")]
    assert min(shares) > 0.15
    assert max(shares) < 0.27


@pytest.mark.parametrize(
    ("sizes", "message"),
    [([1] * 4, "form 4 scenes"), ([30, 10, 10, 10, 10], "the largest of 30, too few or too large")],
)
def test_scenes_that_make_no_folds_are_told(sizes: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw_folds(groups_of(sizes), 5, 0)


def test_a_class_that_no_folds_spread_is_named() -> None:
    groups = groups_of([1] * 20)
    counts = {groups[0][0]: Counter({"Bus": 40})}
    with pytest.raises(InputError, match=r'most even .* the class "Bus": too few scenes show it'):
        draw_folds(groups, 5, 0, counts)


def test_a_drawn_file_states_its_rule_and_is_read(scenes_root: Path, tmp_path: Path) -> None:
    data = {"name": "boxes", "layout": "m3fd", "root": scenes_root / "m3fd"}
    bare = open_dataset(DatasetSpec.model_validate({**data, "near_duplicates": "none"}))
    path = tmp_path / "split.yaml"
    drawn = draw_file(path, bare, SplitSpec(ratios=(2, 1, 1), seed=3), "abc")
    written = yaml.safe_load(path.read_text())
    assert (written["version"], written["seed"], written["ratios"]) == (2, 3, [2, 1, 1])
    assert "stays in train" in written["method"]
    assert written["draws"] >= 1
    assert written["class_shares"] == drawn.shares
    assert {name for names in written["scenes"].values() for name in names} == set(bare.pairs)
    again = open_dataset(DatasetSpec.model_validate({**data, "split": {"file": str(path)}}))
    assert {k: list(v) for k, v in again.splits.items()} == drawn.parts
    assert len(set(again.scenes.values())) == 12


def test_folds_of_a_file_are_read_one_by_one(scenes_root: Path, tmp_path: Path) -> None:
    data = {"name": "boxes", "layout": "m3fd", "root": scenes_root / "m3fd"}
    bare = open_dataset(DatasetSpec.model_validate({**data, "near_duplicates": "none"}))
    path = tmp_path / "folds.yaml"
    drawn = draw_file(path, replace(bare, labels={}), SplitSpec(folds=3, seed=1), "abc")

    def opened(**split: Any) -> Dataset:
        return open_dataset(DatasetSpec.model_validate({**data, "split": {"file": path, **split}}))

    assert opened(folds=3).splits == {}
    for fold in range(3):
        splits = opened(folds=3, fold=fold).splits
        assert list(splits["test"]) == drawn.parts[f"fold {fold + 1}"]
        assert {*splits["train"], *splits["test"]} == set(bare.pairs)
        with_val = opened(folds=3, fold=fold, validated=True).splits
        assert {*with_val["train"], *with_val["val"]} == set(splits["train"])
        assert not {*with_val["train"]} & {*with_val["val"]}
    with pytest.raises(InputError, match=r"holds folds; give split\.folds"):
        opened()
    with pytest.raises(InputError, match="holds 3 folds, not 5"):
        opened(folds=5)
    spoilt = yaml.safe_load(path.read_text())
    spoilt["folds"][0]["test"].append(spoilt["folds"][1]["test"][0])
    path.write_text(yaml.safe_dump(spoilt))
    with pytest.raises(InputError, match="in two folds; every image is to be tested in one fold"):
        opened(folds=3)
