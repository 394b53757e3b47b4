"""A grid becomes one row per point, with names that can be read and told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fusion.errors import InputError
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.loading import load_experiment
from pipelines.specs.values.grid import expand_grid, readable

Write = Callable[..., Path]
TRAIN = {"dataset": "smoke-segmentation", "epochs": 2, "batch_size": 4, "crop": 32}
KERNELS = [[15, 7, 5, 5], [3, 3, 3, 3]]


@pytest.fixture
def load(write_experiment: Write) -> Callable[..., ExperimentSpec]:
    """Load an experiment of these methods."""

    def make(*methods: Any, **overrides: Any) -> ExperimentSpec:
        return load_experiment(str(write_experiment(methods=list(methods))), overrides)

    return make


def test_a_grid_is_one_row_per_point_with_the_last_key_fastest(load: Any) -> None:
    grid = {"kernels": KERNELS, "norm_body": ["gn", "bn"]}
    spec = load("visible", {"name": "lkc_funet", "grid": grid, "train": TRAIN})
    assert [method.row for method in spec.methods] == [
        "visible",
        "lkc_funet kernels=15-7-5-5, norm_body=gn",
        "lkc_funet kernels=15-7-5-5, norm_body=bn",
        "lkc_funet kernels=3-3-3-3, norm_body=gn",
        "lkc_funet kernels=3-3-3-3, norm_body=bn",
    ]
    assert spec.methods[4].params == {"kernels": [3, 3, 3, 3], "norm_body": "bn"}
    assert all(m.train is not None and m.train.crop == 32 for m in spec.methods[1:])


def test_a_point_replaces_what_params_and_train_say(load: Any) -> None:
    grid = {"norm_body": ["bn"], "train.learning_rate": [1.0e-3, 3.0e-4], "train.crop": [48]}
    base = {"name": "lkc_funet", "label": "tiny", "params": {"preset": "tiny", "norm_body": "gn"}}
    first, second = load({**base, "grid": grid, "train": TRAIN}).methods
    assert first.params == {"preset": "tiny", "norm_body": "bn"}
    assert (first.train.learning_rate, first.train.crop, first.train.epochs) == (1e-3, 48, 2)
    assert second.train.learning_rate == 3e-4
    assert second.row == "tiny norm_body=bn, learning_rate=0.0003, crop=48"


def test_a_shipped_method_may_be_swept_and_a_grid_changed_by_set(load: Any) -> None:
    entry = {"use": "lkc_funet-tiny", "grid": {"mpafm": ["on", "concat"]}}
    rows = [method.row for method in load(entry).methods]
    assert rows == ["LKC-FUNet (tiny) mpafm=on", "LKC-FUNet (tiny) mpafm=concat"]
    changed = load(entry, **{"methods.0.grid.mpafm": ["concat"]})
    assert [method.row for method in changed.methods] == rows[1:]


def test_a_grid_in_a_methods_own_file_is_expanded(load: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "laplacian", "grid": {"levels": [2, 3]}}))
    rows = [method.row for method in load(str(path)).methods]
    assert rows == ["laplacian levels=2", "laplacian levels=3"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"levels": [3, 4, 3]}, 'grid.levels of "laplacian" lists 3 twice; keep one of them'),
        ({"levels": [3, 3.0]}, "lists 3 twice"),
        ({"levels": [[3, 5], "3-5"]}, "lists 3-5 twice"),
        ({"levels": []}, 'grid.levels of "laplacian" must be a list of at least one value'),
        ({"levels": 3}, 'grid.levels of "laplacian" must be a list'),
        ([3], 'grid of "laplacian" must map keys to lists of values'),
        ({}, 'grid of "laplacian" must map keys'),
        ({"train.epochs": [1, 2]}, 'needs a training; give the method "train"'),
    ],
)
def test_a_grid_that_is_none_is_one_sentence(load: Any, grid: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load({"name": "laplacian", "grid": grid})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_grid_is_told(load: Any) -> None:
    with pytest.raises(InputError, match=r'"methods\.0\.gird" is unknown\. Did you mean "grid"'):
        load({"name": "laplacian", "gird": {"levels": [3]}})


def test_points_that_meet_another_row_are_refused(load: Any) -> None:
    point = {"name": "laplacian", "grid": {"levels": [3]}}
    with pytest.raises(InputError, match='two methods are called "laplacian levels=3"'):
        load(point, point)


def test_settings_of_one_row_are_not_those_of_another(write_experiment: Write) -> None:
    """YAML anchors share one mapping; --set on one row must not reach the others."""
    methods = [{"name": "lkc_funet", "label": label, "train": TRAIN} for label in "ab"]
    path = write_experiment(methods=methods)
    assert "&id" in path.read_text()  # dumped as anchor and reference
    spec = load_experiment(str(path), {"methods.0.train.epochs": 7})
    assert [method.train and method.train.epochs for method in spec.methods] == [7, 2]


def test_a_method_without_a_grid_stays_as_it_is() -> None:
    assert expand_grid({"name": "average"}) == [{"name": "average"}]


def test_values_are_shown_short_and_apart() -> None:
    shown = [readable(v) for v in (True, False, 0.1, 1e-4, 0.123456789, (1, 2), "x", None)]
    assert shown == ["on", "off", "0.1", "0.0001", "0.123456789", "1-2", "x", "None"]
