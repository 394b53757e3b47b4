"""Intervals cover, tests hold their level, and corrections and ranks follow worked examples."""

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
from pipelines.results.statistics.comparison import (
    Comparison,
    Sample,
    bootstrap_p,
    compare,
    holm,
    kendall,
    percentile_interval,
    places,
    rank_shares,
)

NAN = math.nan
SIMULATIONS = 4000


def simulated(
    seeds: int,
    *,
    training: float = 0.0,
    together: float = 0.0,
    apart: float = 0.0,
    images: int = 200,
) -> list[Comparison]:
    """Compare two methods, whose true means are `apart`, in many imagined experiments.

    Each image is hard or easy for both methods and for each. `training` is the deviation of a
    seed's effect on all images in units of a mean's over images, `together` that of its effect on
    single images in units of an image's.
    """
    rng = np.random.default_rng(seeds)
    counts = resamples(images)
    both = rng.normal(size=(images, SIMULATIONS))
    results = []
    for shift in (apart, 0.0):
        own = both + rng.normal(size=both.shape)
        trained = rng.normal(size=(seeds, 1, SIMULATIONS)) * training / images**0.5
        single = rng.normal(size=(seeds, *both.shape)) * together
        values = shift + own + trained + single
        results.append((values.mean(axis=1).T, (counts @ values.mean(axis=0) / images).T))
    made = [
        compare(*(Sample(points[n], again[n], images) for points, again in results))
        for n in range(SIMULATIONS)
    ]
    return [one for one in made if one is not None]


def share_below_5_percent(found: list[Comparison]) -> float:
    assert len(found) == SIMULATIONS
    return sum(one.p < 0.05 for one in found) / SIMULATIONS


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
            [percentile_interval(*pair) for pair in zip(again.T, points, strict=True)],
        )
    ]
    assert covered[0] < 850
    assert 930 <= covered[1] <= 970


def test_without_bias_the_correction_changes_nothing() -> None:
    values = np.arange(1001.0)
    assert percentile_interval(values, 500.0) == pytest.approx(percentile_interval(values))
    assert percentile_interval(np.zeros(9), 0.0) == (0.0, 0.0)
    # a value outside of all that was resampled moves the interval to that side, and no further
    assert percentile_interval(values, -5.0) == pytest.approx((0, 0), abs=1)
    assert percentile_interval(values, 2000.0) == pytest.approx((1000, 1000), abs=1)


def test_an_interval_leaves_out_what_is_undefined() -> None:
    values = np.array([NAN, *np.arange(1001.0), NAN])
    assert percentile_interval(values) == (25.0, 975.0)
    assert percentile_interval(np.array([NAN, NAN])) is None


def test_with_one_seed_equal_methods_differ_in_5_of_100_experiments() -> None:
    found = simulated(1)
    assert 0.04 <= share_below_5_percent(found) <= 0.06
    covered = sum(one.low <= 0 <= one.high for one in found) / SIMULATIONS
    assert covered == pytest.approx(1 - share_below_5_percent(found), abs=0.005)


@pytest.mark.parametrize("training", [0.0, 1.0, 3.0])
def test_with_three_seeds_equal_methods_differ_in_5_of_100_experiments(training: float) -> None:
    found = simulated(3, training=training)
    assert 0.04 <= share_below_5_percent(found) <= 0.06
    inside = sum(one.low <= 0 <= one.high for one in found)
    assert inside == sum(one.p >= 0.05 for one in found)


def test_what_seeds_do_to_single_images_errs_on_the_safe_side() -> None:
    assert 0 < share_below_5_percent(simulated(3, training=1.0, together=1.0)) < 0.045


def test_without_the_spread_of_seeds_they_would_differ_far_too_often() -> None:
    """Why seeds are in the comparison: images alone call trainings a difference of methods."""
    found = simulated(1, training=3.0)
    assert share_below_5_percent(found) > 0.3


def test_a_real_difference_is_found() -> None:
    error = (2 / 200) ** 0.5  # of the difference of two means over 200 images
    assert share_below_5_percent(simulated(1, apart=4 * error)) > 0.95
    assert share_below_5_percent(simulated(3, training=0.5, apart=6 * error)) > 0.95


def sample(points: list[float], spread: float = 0.0, images: int = 50, **more: bool) -> Sample:
    """A sample whose resampled values have the given deviation around the mean of the points."""
    noise = np.random.default_rng(1).normal(size=RESAMPLES)
    noise = spread * (noise - noise.mean()) / noise.std(ddof=1)
    return Sample(np.array(points), np.mean(points) + noise, images, **more)


def test_welchs_test_is_scipys_where_images_do_not_matter() -> None:
    from scipy.stats import ttest_ind

    first, second = [51.0, 53.5, 50.2], [48.1, 49.0, 47.0, 49.9]
    found = compare(sample(first), sample(second))
    theirs = ttest_ind(first, second, equal_var=False)
    assert found is not None
    assert found.p == pytest.approx(theirs.pvalue)
    expected = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_images_and_seeds_add_up() -> None:
    """By hand: 4 of 50 images and 2.25 / 3 of three seeds make a variance of 4.75."""
    from scipy.stats import t

    trained = sample([8.0, 9.5, 11.0], spread=2.0)
    assert trained.points.var(ddof=1) == pytest.approx(2.25)
    found = compare(trained, sample([5.0], fixed=True))
    assert found is not None
    freedom = 4.75**2 / (16 / 49 + 0.75**2 / 2)
    assert found.mean == pytest.approx(4.5)
    assert found.p == pytest.approx(2 * t.sf(4.5 / 4.75**0.5, freedom))
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, freedom) * 4.75**0.5)


def test_a_method_with_one_finished_seed_borrows_the_others_spread() -> None:
    three = sample([50.0, 52.0, 54.0])
    fixed, partial = (compare(three, sample([40.0], fixed=fixed)) for fixed in (True, False))
    assert fixed is not None
    assert partial is not None
    # s^2 = 4: 4/3 against 4/3 + 4/1
    widths = [one.high - one.low for one in (fixed, partial)]
    assert widths[1] / widths[0] == pytest.approx(2.0)


@pytest.mark.parametrize("points", [[3.0], [3.0, 3.0, 3.0]])
def test_equal_results_do_not_differ(points: list[float]) -> None:
    assert compare(sample(points), sample(points)) == Comparison(0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_is_one() -> None:
    one = compare(sample([3.0]), sample([2.0]))
    assert one == Comparison(1.0, 1.0, 1.0, pytest.approx(2 / (RESAMPLES + 1)))
    assert compare(sample([3.0, 3.0]), sample([2.0, 2.0])) == Comparison(1.0, 1.0, 1.0, 0.0)


def test_nothing_is_said_about_one_image_or_what_is_undefined() -> None:
    assert compare(sample([3.0], images=1), sample([2.0], images=1)) is None
    assert compare(sample([NAN]), sample([2.0])) is None
    lost = Sample(np.array([1.0]), np.full(RESAMPLES, NAN), 50)
    assert compare(lost, sample([2.0])) is None


def test_resamples_without_the_class_are_left_out() -> None:
    values = np.concatenate([np.full(30, NAN), np.linspace(-1, 9, 970)])
    found = compare(Sample(np.array([4.0]), values, 50), sample([0.0]))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(-0.75), pytest.approx(8.75))
    assert found.p == pytest.approx(2 * (97 + 1) / 971)


def test_bootstrap_p_counts_the_rarer_sign_twice_and_never_reaches_zero() -> None:
    assert bootstrap_p(np.arange(-4.0, 95.0)) == pytest.approx(2 * 6 / 100)  # -4 ... 0
    assert bootstrap_p(np.ones(999)) == pytest.approx(0.002)
    assert bootstrap_p(-np.ones(999)) == pytest.approx(0.002)
    assert bootstrap_p(np.zeros(999)) == 1.0


def test_holm_keeps_the_level_against_a_fixed_reference_and_not_against_the_best() -> None:
    """What the notes of a comparison say of ten equal methods: 12 to 15 of 100 instead of 5."""
    rng, times = np.random.default_rng(0), 500
    counts, told = resamples(150), np.zeros(2)
    for _ in range(times):
        values = rng.normal(size=150) + rng.normal(size=(10, 150))
        made = [Sample(one.mean(keepdims=True), counts @ one / 150, 150) for one in values]
        best = max(made, key=lambda one: one.points[0])
        for place, reference in enumerate((made[0], best)):
            found = [compare(one, reference) for one in made if one is not reference]
            told[place] += holm(np.array([one.p for one in found if one])).min() <= 0.05
    fixed, chosen = told / times
    assert 0.02 <= fixed <= 0.06
    assert 0.09 <= chosen <= 0.18


def test_holm_by_a_worked_example() -> None:
    """Holm's steps 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04, the last no less than the one before.

    The p of Wright, Biometrics 48 (1992).
    """
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([])).shape == (0,)


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
    """Two exchanged neighbours of four: 5 concordant pairs, 1 discordant, tau = 4 / 6.

    p by hand: 4 of the 24 orders have at most one such pair, and 4 at least five of them.
    """
    found = kendall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 50.0, 30.0]))
    assert found == (pytest.approx(2 / 3), pytest.approx(8 / 24))


def test_kendalls_tau_with_ties_is_tau_b() -> None:
    """4 concordant pairs, 1 discordant, one tied in the first: 3 / sqrt(5 x 6)."""
    found = kendall(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 3.0]))
    assert found is not None
    assert found[0] == pytest.approx(3 / 30**0.5)


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
