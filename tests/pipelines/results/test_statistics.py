"""Intervals cover, and ranks and their agreement follow worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.results.statistics.bootstrap import (
    RESAMPLES,
    numbered,
    resampled_means,
    resamples,
)
from pipelines.results.statistics.intervals import percentile_interval
from pipelines.results.statistics.ranks import (
    kendall,
    places,
    rank_shares,
    tau_range,
)
from pipelines.results.statistics.samples import units_of

NAN = math.nan
SIMULATIONS = 4000


def test_the_interval_covers_a_known_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(4.0, size=(100, SIMULATIONS))  # skewed, as scores of images are
    means = resamples(100) @ values / 100
    found = [percentile_interval(column) for column in means.T]
    covered = sum(pair is not None and pair[0] <= 4.0 <= pair[1] for pair in found)
    assert 0.93 <= covered / SIMULATIONS <= 0.97


def test_a_biased_statistic_is_covered_when_the_interval_knows_its_value() -> None:
    """Of ten means 0.3 the sum of squares, 0.9: estimates lie above it, resampled ones again."""
    values = np.random.default_rng(0).normal(0.3, 1, (100, 10 * 1000))
    points = (values.mean(axis=0).reshape(10, -1) ** 2).sum(axis=0)
    again = ((resamples(100) @ values / 100).reshape(RESAMPLES, 10, -1) ** 2).sum(axis=1)
    covered = [
        sum(low <= 0.9 <= high for low, high in filter(None, found))
        for found in (
            [percentile_interval(column) for column in again.T],
            [percentile_interval(one, None, p) for one, p in zip(again.T, points, strict=True)],
        )
    ]
    assert covered[0] < 850
    assert 930 <= covered[1] <= 970


def test_without_bias_the_correction_changes_nothing() -> None:
    values = np.arange(1001.0)
    assert percentile_interval(values, None, 500.0) == pytest.approx(percentile_interval(values))
    assert percentile_interval(np.zeros(9), None, 0.0) == (0.0, 0.0)
    # a value outside of all that was resampled moves the interval to that side, and no further
    assert percentile_interval(values, None, -5.0) == pytest.approx((0, 0), abs=1)
    assert percentile_interval(values, None, 2000.0) == pytest.approx((1000, 1000), abs=1)


def test_few_scenes_widen_an_interval_to_students() -> None:
    """Twelve normal scenes: of the plain percentiles 91 of 100 cover, of the widened ones 95."""
    rng, share = np.random.default_rng(0), resamples(12) / 12
    values = rng.normal(size=(12, SIMULATIONS))
    means = (share @ values).T
    found = [
        [percentile_interval(one, units) for one in means] for units in (None, units_of([1] * 12))
    ]
    plain, wide = (
        sum(low <= 0 <= high for low, high in filter(None, ends)) / SIMULATIONS for ends in found
    )
    assert plain < 0.93
    assert 0.935 <= wide <= 0.965
    assert percentile_interval(means[0], units_of([1])) == percentile_interval(means[0])


def test_an_interval_leaves_out_what_is_undefined() -> None:
    values = np.array([NAN, *np.arange(1001.0), NAN])
    assert percentile_interval(values) == (25.0, 975.0)
    assert percentile_interval(np.array([NAN, NAN])) is None


def test_shares_of_ranks() -> None:
    values = np.array([[3.0, 2.0, 1.0], [2.0, 2.0, 5.0], [NAN, 1.0, 4.0], [NAN, NAN, 7.0]])
    shares = rank_shares(values)
    by_hand = np.mean(
        [
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0, 0.5, 0.5], [0, 0.5, 0.5], [1, 0, 0]],  # the first two are equal
            [[0, 0, 1], [0, 1, 0], [1, 0, 0]],
            [[0, 0.5, 0.5], [0, 0.5, 0.5], [1, 0, 0]],  # and undefined alike
        ],
        axis=0,
    )
    assert shares == pytest.approx(by_hand)
    assert shares.sum(axis=0) == pytest.approx(np.ones(3))
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))
    assert rank_shares(values[:1], lower=True)[2] == pytest.approx([1, 0, 0])
    assert rank_shares(values[2:3], lower=True)[0] == pytest.approx([0, 0, 1])
    assert rank_shares(np.ones((5, 1))) == pytest.approx(np.ones((1, 1)))


def test_places_share_ties_and_leave_out_what_is_undefined() -> None:
    values = np.array([[3.0, 2.0, 2.0], [NAN, 1.0, 4.0]])
    assert places(values)[0] == pytest.approx([1, 2.5, 2.5])
    assert places(values)[1] == pytest.approx([NAN, 2, 1], nan_ok=True)
    assert places(values, lower=True)[0] == pytest.approx([3, 1.5, 1.5])


def test_kendalls_tau_by_a_worked_example() -> None:
    """Two exchanged neighbours of four: 5 concordant pairs, 1 discordant, tau = 4 / 6."""
    found = kendall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 50.0, 30.0]))
    assert found == pytest.approx(2 / 3)


def test_kendalls_tau_with_ties_is_tau_b() -> None:
    """4 concordant pairs, 1 discordant, one tied in the first: 3 / sqrt(5 x 6)."""
    found = kendall(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 3.0]))
    assert found == pytest.approx(3 / 30**0.5)


def test_pairs_whose_order_is_not_known_widen_tau() -> None:
    """Of six pairs two are open: the 4 known concordant ones leave 2/6 to 6/6."""
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 30.0, 50.0])
    known = np.array([True, True, True, True, False, False])
    assert tau_range(first, second, known) == pytest.approx((2 / 6, 1))
    assert tau_range(first, second, ~known) == pytest.approx((-2 / 6, 1))
    assert tau_range(first, -second, known) == pytest.approx((-1, -2 / 6))
    ties = np.array([1.0, 1.0, 3.0, 4.0])
    assert tau_range(ties, second, np.ones(6, dtype=bool)) == pytest.approx((5 / 6, 5 / 6))


def test_there_is_no_tau_of_two_methods_or_of_equal_scores() -> None:
    assert kendall(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert kendall(np.array([1.0, 2.0, 3.0]), np.ones(3)) is None


def test_scenes_are_drawn_whole_and_images_of_their_own_as_before() -> None:
    scenes = numbered("vwxyz", {"v": "b", "w": "b", "x": "a", "y": "b"})
    assert scenes.tolist() == [0, 0, 1, 0, 2]
    counts = resamples(5, scenes)
    assert np.array_equal(counts[:, scenes == 0], np.repeat(resamples(3)[:, :1], 3, axis=1))
    assert np.array_equal(counts[:, [0, 2, 4]], resamples(3))
    assert np.array_equal(resamples(7, numbered("gfedcba", {})), resamples(7))


def test_images_of_one_scene_are_no_more_than_the_scene() -> None:
    """Twenty scenes, each of ten equal images: the error of the mean is that of twenty values."""
    values = np.random.default_rng(0).normal(size=20)
    scenes = np.repeat(np.arange(20), 10)
    assert np.array_equal(
        resampled_means(np.repeat(values, 10)[:, None], scenes).round(12),
        resampled_means(values[:, None]).round(12),
    )
    alone = resampled_means(np.repeat(values, 10)[:, None])
    assert alone.std() < 0.5 * resampled_means(values[:, None]).std()
