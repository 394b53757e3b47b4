"""The set that holds the best: it keeps its level, drops what is worse, and guards its edges."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from pipelines.results.statistics.best import ConfidenceSet, confidence_set
from pipelines.results.statistics.bootstrap import RESAMPLES, resamples
from pipelines.results.statistics.samples import (
    Sample,
    SeedSpread,
    Units,
    seed_spread,
    units_of,
)

NAN = math.nan
IMAGES = 100


def single(images: int) -> Units:
    return units_of([1] * images)


def experiment(
    rng: np.random.Generator, means: list[float], seeds: int, training: float, together: float = 0
) -> list[Sample]:
    """Return methods of which each image and each seed has a share, the images' error about 1.

    `training` is the deviation of a seed's effect, `together` that of what it does to all alike.
    """
    methods = len(means)
    values = rng.normal(size=(IMAGES, 1)) + rng.normal(size=(IMAGES, methods)) * IMAGES**0.5
    again = resamples(IMAGES) @ values / IMAGES
    shared = together * rng.normal(size=(seeds, 1))
    lots = shared + training * rng.normal(size=(seeds, methods))
    points = np.array(means) + values.mean(axis=0) + lots
    again += points.mean(axis=0) - values.mean(axis=0)
    given = tuple(range(seeds))
    return [Sample(points[:, n], again[:, n], single(IMAGES), seeds=given) for n in range(methods)]


def dropped(times: int, means: list[float], seeds: int, training: float) -> tuple[float, float]:
    """Return in how many runs some best method is lost, and which share of the worse is."""
    rng = np.random.default_rng(len(means) + seeds)
    best = np.array(means) == max(means)
    lost, gone = 0, 0.0
    for _ in range(times):
        made = experiment(rng, means, seeds, training)
        members = np.array(confidence_set(made, draws=1000).members)
        lost += not members[best].all()
        gone += float((~members[~best]).mean()) if not best.all() else 0.0
    return lost / times, gone / times


@pytest.mark.parametrize(("seeds", "training"), [(1, 0.0), (3, 1.0), (3, 3.0)])
def test_among_equal_methods_none_is_lost_in_95_of_100_experiments(
    seeds: int, training: float
) -> None:
    lost, _ = dropped(300, [0.0] * 5, seeds, training)
    assert 0.02 <= lost <= 0.08


def test_so_it_is_of_a_dozen_scenes_of_which_one_holds_a_third_of_the_images() -> None:
    """Resampling twelve scenes as they are calls equal methods different three times as often."""
    sizes = np.array([50, 20, 16, 12, 10, 10, 8, 8, 6, 4, 3, 3])
    rng, units, lost = np.random.default_rng(7), units_of(sizes.tolist()), np.zeros(2)
    counts = resamples(len(sizes)) * sizes / (resamples(len(sizes)) @ sizes)[:, None]
    for _ in range(300):
        scenes = rng.normal(size=(len(sizes), 6))
        made = [(one @ sizes / sizes.sum(), counts @ one) for one in scenes.T]
        for place, known in enumerate((units, Units(12, 1e6, 1.0))):
            found = [Sample(np.array([mean]), again, known) for mean, again in made]
            lost[place] += not all(confidence_set(found, draws=1000).members)
    ours, naive = lost / 300
    assert ours <= 0.08
    assert naive >= 0.15


def test_what_is_worse_is_dropped_and_the_best_is_kept() -> None:
    lost, gone = dropped(100, [6.0, 0.0, 0.0, -20.0], 3, 0.5)
    assert lost <= 0.05
    assert gone >= 0.9


def test_what_seeds_do_to_all_methods_alike_is_no_noise() -> None:
    rng = np.random.default_rng(5)
    made = experiment(rng, [0.0] * 6, 3, 1.0, together=30.0)
    paired = seed_spread(made)
    bare = [Sample(one.points, one.resampled, one.units) for one in made]
    assert paired.paired
    assert (paired.degrees, seed_spread(bare).degrees) == (10, 12)
    assert paired.variance < 4 < 100 < seed_spread(bare).variance


def trained(*points: float, fixed: bool = False, spread: float = 0.0, seed: int = 1) -> Sample:
    noise = spread * np.random.default_rng(seed).normal(size=RESAMPLES)
    made = np.array(points)
    return Sample(made, made.mean() + noise, single(50), fixed)


def test_seed_variance_is_pooled_over_trained_methods_of_unequal_numbers() -> None:
    """By hand: squares 2 + 8 + 0 over 2 + 1 + 0 degrees of freedom."""
    made = [trained(1.0, 2.0, 3.0), trained(5.0, 9.0), trained(4.0), trained(7.0, fixed=True)]
    assert seed_spread(made) == SeedSpread(pytest.approx(10 / 3), 3)
    assert seed_spread([trained(1.0), trained(2.0)]) == SeedSpread(0.0, 0)


def test_few_degrees_of_freedom_are_not_spent_on_pairing() -> None:
    first, second = (
        Sample(np.array(points), np.zeros(9), single(9), seeds=(0, 1, 2))
        for points in ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    )
    assert seed_spread([first, second]) == SeedSpread(1.0, 4)


def test_scenes_of_one_size_are_as_good_as_images() -> None:
    assert units_of([4] * 12).degrees == pytest.approx(11)
    assert units_of([4] * 12).inflation == pytest.approx(12 / 11)
    assert (single(12).degrees, single(12).inflation) == pytest.approx((11, 12 / 11))
    assert not units_of([30]).several
    assert not single(1).several


def test_the_variance_over_scenes_is_unbiased_and_its_degrees_are_those_of_its_spread() -> None:
    """Weighted residuals of scenes of very different sizes: mean and variance of their squares."""
    sizes = np.array([40, 10, 10, 6, 4, 3, 2, 2])
    units, share = units_of(sizes.tolist()), sizes / sizes.sum()
    scenes = np.random.default_rng(0).normal(size=(40_000, len(sizes)))
    rest = scenes - scenes @ share[:, None]
    found = units.inflation * (share**2 * rest**2).sum(axis=1)
    assert found.mean() == pytest.approx((share**2).sum(), rel=0.02)
    assert 2 * found.mean() ** 2 / found.var() == pytest.approx(units.degrees, rel=0.05)


def test_equal_rows_and_rows_without_spread() -> None:
    one = trained(3.0, spread=1.0)
    assert confidence_set([one, one]).members == (True, True)
    assert confidence_set([one, one]).p == (1.0, 1.0)
    constant = [trained(value, fixed=True) for value in (1.0, 2.0, 2.0)]
    assert confidence_set(constant) == ConfidenceSet((False, True, True), (0,), (0.0, 1.0, 1.0))
    assert confidence_set(constant, lower=True).members == (True, False, False)


def test_of_one_method_none_or_one_image_nothing_is_dropped() -> None:
    assert confidence_set([]) == ConfidenceSet((), (), ())
    assert confidence_set([trained(3.0)]) == ConfidenceSet((True,), (), (1.0,))
    alone = [Sample(np.array([n]), np.full(9, n), single(1)) for n in (1.0, 50.0)]
    assert confidence_set(alone).members == (True, True)


def test_an_undefined_result_is_neither_a_member_nor_in_the_way() -> None:
    made = [trained(3.0, spread=0.1), trained(NAN), trained(9.0, spread=0.1, seed=2)]
    found = confidence_set(made)
    assert found.members == (False, False, True)
    assert found.left == (0,)
    assert math.isnan(found.p[1])


def test_resamples_that_are_undefined_for_one_method_count_for_none() -> None:
    known, gap = trained(3.0, spread=1.0), trained(3.5, spread=1.0, seed=2)
    holed = gap.resampled.copy()
    holed[:700] = NAN
    short = Sample(known.points, known.resampled[700:], known.units)
    theirs = Sample(gap.points, holed[700:], gap.units)
    both = confidence_set([known, Sample(gap.points, holed, gap.units)])
    assert both.p == confidence_set([short, theirs]).p
    lost = Sample(gap.points, np.full(RESAMPLES, NAN), gap.units)
    assert confidence_set([known, lost]).members == (True, True)


def test_a_smaller_alpha_drops_no_more_and_p_says_when_each_leaves() -> None:
    rng = np.random.default_rng(2)
    made = experiment(rng, [0.0, -2.0, -4.0, -6.0], 3, 1.0)
    found = [confidence_set(made, alpha) for alpha in (0.2, 0.05, 0.01, 1e-6)]
    for loose, strict in pairwise(found):
        assert strict.left == loose.left[: len(strict.left)]
        assert loose.p == strict.p
    for one, alpha in zip(found, (0.2, 0.05, 0.01, 1e-6), strict=True):
        assert one.members == tuple(p > alpha for p in one.p)
    assert max(found[0].p) == 1.0


def test_p_goes_below_what_draws_can_tell() -> None:
    made = [trained(0.0, spread=1.0), trained(9.0, spread=1.0, seed=2)]
    assert 0 < confidence_set(made, draws=1000).p[0] < 1e-5


def test_the_seed_variance_of_another_experiment_can_be_lent() -> None:
    made = [trained(0.0, spread=1.0), trained(9.0, spread=1.0, seed=2)]
    lent = confidence_set(made, spread=SeedSpread(100.0, 10))
    assert lent.members == (True, True)
    own = [trained(-0.1, 0.0, 0.1, spread=0.1), trained(8.9, 9.0, 9.1, spread=0.1, seed=2)]
    assert confidence_set(own, spread=SeedSpread(1e6, 10)).members == (False, True)
