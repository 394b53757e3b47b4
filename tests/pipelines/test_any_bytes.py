"""Whatever is read: a result or one sentence. Examples are few and always the same.

`python -m benchmarks.fuzz` tries as many as there is time for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="the dev extra is not installed whole")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.mutation import TOKENS
from benchmarks.parsers import PARSERS, outcome, watched
from pipelines.specs.loading import load_dataset, load_experiment

few = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SECONDS = 20.0
"""Not the limit, which a busy machine may miss, but what no machine needs."""
CHEAP = sorted(PARSERS.keys() - {"detector"})
"""The detector's needs ultralytics, whose import takes seconds; `tests/detection` has it."""
EDIT = st.tuples(
    st.floats(0, 1), st.integers(0, 16), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["visible", "m3fd", "$X", "~", "../x", "", "a/b", "\0", "x" * 1000]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = [
    *("name", "methods", "methods.0", "seeds", "seed_variance", "perturb", "reconstruction"),
    *("paper", "deviations", "timeout_hours", "detection", "detection.grid", "detection.epochs"),
    *("detection.dataset", "detection.dataset.name", "detection.dataset.classes", "segmentation"),
    *("segmentation.dataset.scenes", "segmentation.encoder", "scoring", "x", ""),
]
DATASET_KEYS = [
    "name",
    "layout",
    "root",
    "infrared",
    "labels",
    "parts",
    "classes",
    "split",
    "notes",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bytes")


@pytest.mark.parametrize("name", CHEAP)
def test_a_changed_sample_is_read_or_refused(name: str, folder: Path) -> None:
    parser = PARSERS[name]
    samples = st.sampled_from(parser.samples())

    @few
    @given(samples, st.lists(EDIT, min_size=1, max_size=4))
    def check(sample: bytes, edits: list[tuple[float, int, bytes]]) -> None:
        for share, length, new in edits:
            start = round(share * len(sample))
            sample = sample[:start] + new + sample[start + length :]
        found = outcome(parser, sample, folder, SECONDS)
        assert found.allowed, found

    check()


@few
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_of_an_experiment_is_taken_or_refused(key: str, value: Any) -> None:
    found = watched(lambda: load_experiment("smoke", {key: value}), SECONDS)
    assert found.allowed, found


@few
@given(st.sampled_from(DATASET_KEYS), VALUES)
def test_any_value_of_a_dataset_is_taken_or_refused(key: str, value: Any) -> None:
    found = watched(lambda: load_dataset("m3fd", {"root": "/x", key: value}), SECONDS)
    assert found.allowed, found
