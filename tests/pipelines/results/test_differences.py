"""Differences to one reference: they hold their level together, and add up by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.results.statistics.bootstrap import RESAMPLES, resamples
from pipelines.results.statistics.differences import Comparison, against
from pipelines.results.statistics.samples import Sample, Units, units_of

NAN = math.nan
IMAGES = 200
COUNTS = resamples(IMAGES) / IMAGES


def single(images: int) -> Units:
    return units_of([1] * images)


def experiment(
    rng: np.random.Generator,
    methods: int,
    seeds: int,
    *,
    training: float = 0.0,
    together: float = 0.0,
    apart: float = 0.0,
) -> list[Sample]:
    """Return methods whose means on all images are 0, but for the first, which is `apart`.

    Each image is hard or easy for all methods and for each. `training` is the deviation of a
    seed's effect on all images in units of a mean's over images, `together` that of its effect on
    single images in units of an image's.
    """
    both = rng.normal(size=(IMAGES, 1))
    samples = []
    for shift in (apart, *[0.0] * (methods - 1)):
        own = both + rng.normal(size=both.shape)
        lots = rng.normal(size=(1, seeds)) * training / IMAGES**0.5
        values = shift + own + lots + rng.normal(size=(IMAGES, seeds)) * together
        resampled = COUNTS @ values.mean(axis=1)
        samples.append(Sample(values.mean(axis=0), resampled, single(IMAGES)))
    return samples


def told(
    times: int, methods: int, seeds: int, chosen: bool = False, **more: float
) -> tuple[float, float]:
    """Return in how many experiments some p, and some interval, tells methods apart."""
    rng, found = np.random.default_rng(methods + seeds), np.zeros(2)
    for _ in range(times):
        made = experiment(rng, methods, seeds, **more)
        best = max(range(methods), key=lambda n: made[n].mean) if chosen else 0
        compared = against(made, best, chosen=chosen, draws=1000)
        assert compared is not None
        found += (
            min(one.p_adjusted for one in compared) <= 0.05,
            any(not one.low <= 0 <= one.high for one in compared),
        )
    return tuple((found / times).tolist())


@pytest.mark.parametrize(("seeds", "training"), [(1, 0.0), (3, 0.0), (3, 1.0), (3, 3.0)])
def test_two_equal_methods_differ_in_5_of_100_experiments(seeds: int, training: float) -> None:
    p, interval = told(400, 2, seeds, training=training)
    assert 0.02 <= p <= 0.09
    assert interval == pytest.approx(p, abs=0.005)


@pytest.mark.parametrize("chosen", [True, False])
def test_so_do_ten_together_whether_the_reference_is_given_or_the_best(chosen: bool) -> None:
    p, interval = told(120, 10, 1, chosen)
    assert p <= 0.1
    assert interval <= p


def test_what_seeds_do_to_single_images_errs_on_the_safe_side() -> None:
    assert told(300, 2, 3, training=1.0, together=4.0)[0] < 0.03


def test_without_the_spread_of_seeds_they_would_differ_far_too_often() -> None:
    """Why one seed tells of trained networks only: images alone call trainings a difference."""
    assert told(200, 2, 1, training=3.0)[0] > 0.3


def test_a_real_difference_is_found() -> None:
    error = (2 / IMAGES) ** 0.5  # of the difference of two means over 200 images
    assert told(100, 2, 1, apart=4 * error)[0] > 0.95
    assert told(100, 4, 3, training=0.5, apart=6 * error)[0] > 0.95


def sample(
    points: list[float], spread: float = 0.0, images: int = 50, fixed: bool = False
) -> Sample:
    """A sample whose resampled values have the given deviation around the mean of the points."""
    noise = np.random.default_rng(1).normal(size=RESAMPLES)
    noise = spread * (noise - noise.mean()) / noise.std(ddof=1)
    return Sample(np.array(points), np.mean(points) + noise, single(images), fixed)


def compare(first: Sample, second: Sample) -> Comparison:
    (found,) = against([first, second], 1, chosen=False) or ()
    return found


def test_a_pair_is_students_where_images_do_not_matter() -> None:
    from scipy.stats import ttest_ind

    first, second = [51.0, 53.5, 50.2], [48.1, 49.0, 47.0, 49.9]
    found = compare(sample(first), sample(second))
    theirs = ttest_ind(first, second)
    expected = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.p_adjusted == pytest.approx(found.p, abs=0.003)  # of 10,000 draws
    ends = (expected.low, expected.high)
    assert (found.low, found.high) == pytest.approx(ends, abs=0.15)


def test_images_and_seeds_add_up() -> None:
    """By hand: 4 of 50 images, 50 / 49 for their number, and 2.25 / 3 of three seeds."""
    from scipy.stats import t

    found = compare(sample([8.0, 9.5, 11.0], spread=2.0), sample([5.0], fixed=True))
    images = 4 * 50 / 49
    variance = images + 0.75
    freedom = variance**2 / (images**2 / 49 + 0.75**2 / 2)
    assert found.mean == pytest.approx(4.5)
    assert found.p == pytest.approx(2 * t.sf(4.5 / variance**0.5, freedom))
    half = t.ppf(0.975, freedom) * variance**0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_a_method_with_one_finished_seed_borrows_the_others_spread() -> None:
    three = sample([50.0, 52.0, 54.0])
    fixed, partial = (compare(three, sample([40.0], fixed=one)) for one in (True, False))
    # s^2 = 4: 4/3 against 4/3 + 4/1
    widths = [one.high - one.low for one in (fixed, partial)]
    assert widths[1] / widths[0] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("points", [[3.0], [3.0, 3.0, 3.0]])
def test_equal_results_do_not_differ(points: list[float]) -> None:
    assert compare(sample(points), sample(points)) == Comparison(0.0, 0.0, 0.0, 1.0, 1.0)


def test_a_constant_difference_is_one() -> None:
    assert compare(sample([3.0]), sample([2.0])) == Comparison(1.0, 1.0, 1.0, 0.0, 0.0)


def test_nothing_is_said_about_one_image_or_without_resamples() -> None:
    alone = [sample([n], images=1) for n in (3.0, 2.0)]
    assert against(alone, 0, chosen=True) is None
    lost = Sample(np.array([1.0]), np.full(RESAMPLES, NAN), single(50))
    assert against([lost, sample([2.0])], 0, chosen=False) is None
    assert against([lost], 0, chosen=True) == []


def test_p_is_as_small_as_the_tail_of_students_t() -> None:
    found = compare(sample([30.0], spread=3.0), sample([0.0]))
    assert found.p < 1e-5
    assert found.p_adjusted == pytest.approx(found.p)


def test_the_best_is_compared_as_one_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    made = experiment(rng, 6, 1, apart=0.25)
    given, chosen = (against(made, 0, chosen=one) or [] for one in (False, True))
    assert len(given) == len(chosen) == 5
    for one, other in zip(given, chosen, strict=True):
        assert (one.mean, one.p) == (other.mean, other.p)
        assert other.low < one.low
        assert other.p_adjusted >= one.p_adjusted >= one.p - 0.005


def test_p_is_stepped_down_and_keeps_the_order() -> None:
    rng = np.random.default_rng(8)
    found = against(experiment(rng, 8, 3, training=1.0, apart=0.3), 0, chosen=False) or []
    order = sorted(found, key=lambda one: one.p)
    assert [one.p_adjusted for one in order] == sorted(one.p_adjusted for one in order)
    assert order[-1].p_adjusted <= 1.0
