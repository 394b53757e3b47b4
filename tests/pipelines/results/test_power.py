"""The smallest difference that is said to be seen is seen as often as is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.racing import IMAGES, OF_IMAGES, UNITS, world
from pipelines.results.statistics.best import confidence_set
from pipelines.results.statistics.power import (
    Variances,
    seeds_for,
    seen_by,
    share_for,
    smallest_difference,
    variances,
)
from pipelines.results.statistics.samples import Sample, SeedSpread, units_of

OF_PAIRS, OF_SEEDS = 2 * OF_IMAGES**2, 1.0
"""The variance of a difference over images, and that of a training."""
KNOWN = Variances(OF_PAIRS, UNITS, OF_SEEDS)
LEVEL = {"power": 0.8, "alpha": 0.05}


def experiment(
    rng: np.random.Generator, means: list[float], seeds: int, deviation: float
) -> list[Sample]:
    return world(rng, means, deviation, seeds).samples(range(len(means)), seeds)


def seen(times: int, methods: int, seeds: int, difference: float) -> float:
    """Return how often a method that is worse by a difference than all others leaves."""
    rng = np.random.default_rng(methods + seeds)
    means = [0.0] * (methods - 1) + [-difference]
    made = (experiment(rng, means, seeds, OF_SEEDS**0.5) for _ in range(times))
    return sum(not confidence_set(one, draws=1000).members[-1] for one in made) / times


@pytest.mark.parametrize(("methods", "seeds"), [(2, 2), (2, 5)])
def test_two_methods_so_far_apart_are_told_apart_in_80_of_100_experiments(
    methods: int, seeds: int
) -> None:
    least = smallest_difference(KNOWN, methods, seeds)
    assert 0.7 <= seen(300, methods, seeds, least) <= 0.9


def test_among_several_methods_it_is_seen_at_least_as_often() -> None:
    assert seen(150, 6, 3, smallest_difference(KNOWN, 6, 3)) >= 0.8


def test_many_images_and_seeds_leave_the_normal_formula() -> None:
    known = Variances(OF_PAIRS, units_of([1] * 100_000), OF_SEEDS)
    normal = math.sqrt(OF_PAIRS + 2 * OF_SEEDS / 400) * (1.959964 + 0.841621)
    assert smallest_difference(known, 2, 400, draws=40_000) == pytest.approx(normal, rel=0.02)


def test_more_seeds_images_and_fewer_methods_show_less() -> None:
    few, many, any_number = (smallest_difference(KNOWN, 6, k) for k in (2, 10, math.inf))
    assert few > many > any_number > 0
    assert smallest_difference(KNOWN.of(4), 6, 10) < many
    assert smallest_difference(KNOWN, 2, 10) < many
    assert smallest_difference(KNOWN, 6, 10, alpha=0.01) > many
    assert smallest_difference(KNOWN, 6, 10, power=0.9) > many


def test_four_times_the_images_are_four_times_the_scenes_of_a_quarter_of_the_variance() -> None:
    known = KNOWN.of(4)
    assert known.units.number == 4 * IMAGES
    assert known.units.degrees == pytest.approx(4 * KNOWN.units.degrees)
    assert known.images == OF_PAIRS / 4
    assert known.training == KNOWN.training


def test_the_least_number_of_seeds_is_the_least() -> None:
    wanted = 3.4
    least = seeds_for(wanted, KNOWN, 4, most=100, **LEVEL)
    assert least is not None
    assert smallest_difference(KNOWN, 4, least) <= wanted < smallest_difference(KNOWN, 4, least - 1)
    assert seeds_for(1.0, KNOWN, 4, most=100, **LEVEL) is None


def test_more_images_help_where_seeds_cannot_unless_seeds_are_too_few() -> None:
    share = share_for(2.0, KNOWN, 4, 20, **LEVEL)
    assert share is not None
    assert share > 1
    assert smallest_difference(KNOWN.of(share), 4, 20) == pytest.approx(2.0, rel=0.02)
    assert share_for(2.0, KNOWN, 4, 2, **LEVEL) is None


def test_variances_are_found_in_results() -> None:
    rng = np.random.default_rng(3)
    found = [variances(experiment(rng, [0.0] * 6, 4, 2.0)) for _ in range(20)]
    known = [one for one in found if one is not None]
    assert np.mean([one.images for one in known]) == pytest.approx(OF_PAIRS, rel=0.15)
    assert np.mean([one.training for one in known]) == pytest.approx(4.0, rel=0.15)
    assert known[0].degrees == 15


def test_what_results_could_have_shown_is_what_their_design_shows() -> None:
    made = experiment(np.random.default_rng(4), [0.0] * 5, 3, 1.0)
    known, least = variances(made), seen_by(made)
    assert known is not None
    assert least is not None
    assert least[0] == pytest.approx(smallest_difference(known, 5, 3), rel=0.1)
    assert least[1] < least[0]
    assert least[1] == pytest.approx(smallest_difference(known, 5, math.inf))


def test_of_one_seed_the_images_alone_are_known_unless_a_variance_is_lent() -> None:
    made = experiment(np.random.default_rng(4), [0.0] * 3, 1, 1.0)
    alone, lent = seen_by(made), seen_by(made, SeedSpread(4.0, 20))
    assert alone is not None
    assert lent is not None
    assert alone[0] == pytest.approx(alone[1], rel=0.1)
    assert lent[0] > 2 * lent[1]


def test_nothing_is_said_of_one_method_or_of_one_image() -> None:
    several, one = (
        Sample(np.array([1.0, 2.0]), np.full(100, 1.5), units_of([1] * images)) for images in (9, 1)
    )
    assert seen_by([several]) is None
    assert seen_by([one, one]) is None


def test_methods_that_do_alike_on_every_image_differ_by_seeds_alone() -> None:
    one = Sample(np.array([1.0, 2.0]), np.full(100, 1.5), UNITS)
    least = seen_by([one, one])
    assert least is not None
    assert least[0] > least[1] == 0
