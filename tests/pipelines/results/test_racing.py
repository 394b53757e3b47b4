"""Races among simulated methods keep the best and save trainings; benchmarks/racing.py has more."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.racing import races
from pipelines.specs.values.seeds import SeedRace

RULE = SeedRace(at_least=2, at_most=5, until="decided")


@pytest.mark.parametrize(
    ("means", "saves"),
    [((0.0,) * 4, (0.0, 0.1)), ((0.0, 0.0, -6.0, -9.0), (0.15, 0.35)), ((0.0, -8.0), (0.4, 0.6))],
)
def test_the_best_is_kept_and_what_is_far_behind_costs_little(
    means: tuple[float, ...], saves: tuple[float, float]
) -> None:
    found = np.array([*races(60, means, 1.0, RULE, draws=500)], dtype=float)
    lost, saved, left = found.mean(axis=0)
    assert lost <= 0.1  # 5 % are allowed: more than 6 of 60 would be so once in 70 times
    assert saves[0] <= saved <= saves[1]
    assert 1 <= left <= len(means)
