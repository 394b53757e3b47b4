"""Seeds are a list, or raced; both are read from YAML and --set, and every misfit is a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusion.errors import InputError
from pipelines.planning.memory import spec_digest
from pipelines.specs.experiment import experiment_model
from pipelines.specs.loading import load_experiment, parse_overrides
from pipelines.specs.values.seeds import SeedRace

Write = Callable[..., Path]
RACE = {"at_least": 2, "at_most": 5, "until": "decided"}


def test_a_race_gives_seeds_from_0_on(write_experiment: Write) -> None:
    path = write_experiment(methods=["visible", "average"], seeds=RACE)
    spec = load_experiment(str(path))
    assert spec.race == spec.seeds == SeedRace(**RACE)
    assert spec.all_seeds == (0, 1, 2, 3, 4)
    assert spec.race.decisions == 4


def test_a_list_is_no_race_and_an_experiment_of_one_keeps_its_identity(
    write_experiment: Write,
) -> None:
    spec = load_experiment(str(write_experiment(seeds=[3, 1])))
    assert spec.race is None
    assert spec.all_seeds == spec.seeds == (3, 1)
    assert spec.model_dump(mode="json")["seeds"] == [3, 1]


def test_an_override_makes_a_race_or_changes_one(write_experiment: Write) -> None:
    path = str(write_experiment(methods=["visible", "average"], seeds=[0]))
    (made,) = ["seeds={at_least: 2, at_most: 5, until: decided}"]
    spec = load_experiment(path, parse_overrides([made]))
    assert spec.seeds == SeedRace(**RACE)
    assert spec.words == (path, "--set", made)
    raced = str(write_experiment(methods=["visible", "average"], seeds=RACE))
    changed = load_experiment(raced, parse_overrides(["seeds.at_most=9"]))
    assert changed.all_seeds == tuple(range(9))


def test_a_race_is_the_same_when_it_is_remembered(write_experiment: Write) -> None:
    spec = load_experiment(str(write_experiment(methods=["visible", "average"], seeds=RACE)))
    again = experiment_model().model_validate(spec.model_dump(mode="json"))
    assert again.seeds == spec.seeds == SeedRace(**RACE)
    assert spec_digest(again) == spec_digest(spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"at_leats": 2}, 'the key "seeds.at_leats" is unknown. Did you mean "at_least"?'),
        ({"until": "bored"}, "\"seeds.until\" (it is 'bored'): Input should be 'decided'."),
        ({"at_least": 1}, '"seeds.at_least" (it is 1): Input should be greater than or equal to 2'),
        ({"at_least": 6}, '"seeds": at_most must be 6 or more, which is at_least.'),
    ],
)
def test_what_does_not_fit_a_race_is_one_sentence(
    write_experiment: Write, changes: dict[str, Any], message: str
) -> None:
    path = write_experiment(methods=["visible", "average"], seeds={**RACE, **changes})
    with pytest.raises(InputError) as caught:
        load_experiment(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("seeds", [{"until": "decided"}, {"at_least": 2, "at_most": 3}])
def test_a_race_says_all_of_its_keys(write_experiment: Write, seeds: dict[str, Any]) -> None:
    path = write_experiment(methods=["visible", "average"], seeds=seeds)
    with pytest.raises(InputError, match=r'the key "seeds\.\w+" is missing; add it'):
        load_experiment(str(path))


def test_scores_of_images_are_no_race(write_experiment: Write) -> None:
    given = load_experiment(str(write_experiment())).model_dump(mode="json")
    keys = {"scoring": {"dataset": given["detection"]["dataset"]}, "detection": None}
    path = write_experiment(methods=["visible", "average"], seeds=RACE, segmentation=None, **keys)
    with pytest.raises(InputError, match="raced by detection or segmentation, not by scores"):
        load_experiment(str(path))


def test_nobody_races_alone(write_experiment: Write) -> None:
    with pytest.raises(InputError, match="raced among at least two methods; give a list of seeds"):
        load_experiment(str(write_experiment(methods=["visible"], seeds=RACE)))
