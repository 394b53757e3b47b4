"""The variance of a training, as the folds of a cross-validation tell it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.results.statistics.best import confidence_set
from pipelines.results.statistics.folds import FoldScores, fold_spread
from pipelines.results.statistics.samples import Sample, units_of

FOLDS, SCENES, RESAMPLES = 5, 20, 200
RUNS = 150


def drawn(
    rng: np.random.Generator, methods: int, seeds: int, training: float
) -> tuple[list[FoldScores], list[Sample]]:
    """Draw equal methods: scenes differ by 10, methods on a scene by 6, trainings by `training`."""
    shape = (FOLDS, SCENES)
    scenes = rng.normal(0, 10, shape) + rng.normal(0, 6, (methods, *shape))
    lots = rng.normal(0, training, (methods, seeds, FOLDS))
    points = scenes.mean(axis=2)[:, None] + lots
    counts = rng.multinomial(SCENES, np.full(SCENES, 1 / SCENES), size=(RESAMPLES, FOLDS))
    again = np.einsum("rks,mks->mrk", counts, scenes) / SCENES + lots.mean(axis=1)[:, None]
    folds = [FoldScores(*both) for both in zip(points, again, strict=True)]
    units, spread = units_of([1] * FOLDS * SCENES), fold_spread(folds)
    return folds, [
        Sample(one.points.mean(axis=1), one.resampled.mean(axis=1), units, spread=spread)
        for one in folds
    ]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("training", [0.0, 3.0])
def test_equal_methods_are_told_apart_in_about_five_of_a_hundred(
    seeds: int, training: float
) -> None:
    rng, false, variances = np.random.default_rng(seeds), 0, []
    for _ in range(RUNS):
        folds, samples = drawn(rng, 3, seeds, training)
        false += len(confidence_set(samples, draws=1000).left) > 0
        variances.append(fold_spread(folds).variance * FOLDS)
    assert false / RUNS <= 0.1
    assert np.mean(variances) == pytest.approx(training**2, abs=1.0)


def test_several_seeds_are_compared_within_folds() -> None:
    folds, _ = drawn(np.random.default_rng(0), 2, 3, 1.0)
    within = np.mean([one.points.var(axis=0, ddof=1) for one in folds])
    found = fold_spread(folds)
    assert (found.variance, found.degrees) == (pytest.approx(within / FOLDS), 2 * FOLDS * 2)


def test_one_method_with_one_seed_tells_nothing_and_an_undefined_score_neither() -> None:
    folds, _ = drawn(np.random.default_rng(0), 2, 1, 1.0)
    assert fold_spread(folds[:1]).degrees == 0
    assert fold_spread(folds).degrees == FOLDS - 1
    folds[0].points[0, 0] = np.nan
    assert fold_spread(folds).degrees == 0
