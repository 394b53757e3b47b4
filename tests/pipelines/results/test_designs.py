"""What it takes to see a difference: from finished results, or from what is stated."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.racing import UNITS
from fusion.errors import InputError
from pipelines.results.conclusions.designs import (
    FOLDS,
    Basis,
    Stated,
    Wanted,
    designs,
    images_for,
    lines,
    with_stated,
)
from pipelines.results.statistics.power import Variances, smallest_difference

KNOWN = Variances(0.5, UNITS, 1.0, 12)
BASIS = Basis(KNOWN, 100, "18 finished results of one")


def test_larger_test_sets_and_folds_of_all_images_are_looked_at() -> None:
    found = designs(KNOWN, 100, 1000)
    assert [(one.images, one.scenes, one.folds) for one in found] == [
        (100, 100, 1),
        (200, 200, 1),
        (400, 400, 1),
        (1000, 1000, FOLDS),
    ]
    assert [one.known.images for one in found] == [0.5, 0.25, 0.125, 0.05]
    assert found[-1].known.training == 1.0 / FOLDS
    assert len(designs(KNOWN, 100, 100)) == len(designs(KNOWN, 100, None)) == 3


def test_a_line_says_which_difference_is_seen_and_what_the_wanted_one_takes() -> None:
    wanted = Wanted(2.6, 4)
    head, one_split, *_, folds = lines(designs(KNOWN, 100, 1000), wanted)
    assert head[0], head[-1] == ("test images", "for 2.6")
    assert one_split[3] == f"{smallest_difference(KNOWN, 4, 2):.2f}"
    assert one_split[-2] == f"{smallest_difference(KNOWN, 4, math.inf):.2f}"
    assert one_split[-1] == "never" or one_split[-1].endswith(" seeds")
    seeds = int(folds[-1].split()[0])
    assert folds[-1] == f"{seeds} seeds ({5 * seeds} trainings)"


def test_what_no_seeds_show_is_never_seen() -> None:
    assert lines(designs(KNOWN, 100, None)[:1], Wanted(1.0, 4))[1][-1] == "never"


def test_the_images_that_it_takes_are_said_for_each_number_of_seeds() -> None:
    told = images_for(designs(KNOWN, 100, None)[0], Wanted(2.0, 3))
    assert told[0] == "With 2 seeds no number of test images suffices."
    assert told[-1].startswith("With 10 seeds it takes ")


def test_what_is_stated_takes_the_place_of_what_was_found() -> None:
    made = with_stated(BASIS, Stated(seed_sd=3.0), 50)
    assert (made.known.training, made.known.images, made.images) == (9.0, 0.5, 100)
    assert "18 finished results of one and a stated standard deviation over seeds" in made.told
    more = with_stated(BASIS, Stated(images=400), 50)
    assert (more.known.images, more.known.units.number) == (0.125, 400)


def test_scenes_of_alike_images_tell_less() -> None:
    stated = Stated(seed_sd=1.0, image_sd=10.0, images=400)
    alone = with_stated(None, stated, None).known
    alike = with_stated(None, replace(stated, scene_effect=4.0), None).known
    assert alone.images == pytest.approx(100 / 400)
    assert alike.images == pytest.approx(4 * 100 / 400)
    assert (alone.units.number, alike.units.number) == (400, 100)


@pytest.mark.parametrize(
    ("basis", "given", "tested", "message"),
    [
        (None, Stated(seed_sd=1.0), 80, "give --image-sd POINTS and --seed-sd POINTS, or --from"),
        (None, Stated(seed_sd=1.0, image_sd=1.0), None, "give --images N"),
        (None, Stated(image_sd=1.0), 80, "give --seed-sd POINTS, or --from EXPERIMENT"),
        (replace(BASIS, known=replace(KNOWN, degrees=0)), Stated(), 80, "results of two seeds"),
    ],
)
def test_what_is_neither_found_nor_stated_is_asked_for(
    basis: Basis | None, given: Stated, tested: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        with_stated(basis, given, tested)
