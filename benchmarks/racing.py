"""Races of seeds among simulated methods: how often the best is lost, and what they save.

    python -m benchmarks.racing [--races 1000] [--draws 1000]

Ten methods are tested on the same 100 images, which are alike difficult for all; the difference of
two has a standard error of 0.7 points over images, and every training its own lots. They are
raced by the rule of `seeds: {at_least: 2, at_most: 10, until: decided}`. In "lost" of the races a
method that nothing is better than stopped before the end, which is to be at most 5 %; "saved" are
the trainings that were not made, of ten each. Prints tables in Markdown;
the second says what unequal numbers of seeds do to means and intervals, of a quarter of the races.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.results.statistics.best import confidence_set
from pipelines.results.statistics.bootstrap import resamples
from pipelines.results.statistics.differences import against
from pipelines.results.statistics.race import Race, judge, share
from pipelines.results.statistics.samples import Sample, units_of
from pipelines.specs.values.seeds import SeedRace

IMAGES, OF_IMAGES = 100, 0.5
RULE = SeedRace(at_least=2, at_most=10, until="decided")
FIELDS: dict[str, tuple[float, ...]] = {
    "ten equal": (0.0,) * 10,
    "two equal ahead of eight by 3": (0.0,) * 2 + (-3.0,) * 8,
    "one ahead by 2, then steps of 1": (0.0, *(-1.0 - n for n in range(1, 10))),
    "one ahead of nine by 5": (0.0,) + (-5.0,) * 9,
}
SPREADS = (1.0, 3.0)
DRAWN = resamples(IMAGES) / IMAGES
UNITS = units_of([1] * IMAGES)


@dataclass(frozen=True, eq=False)
class World:
    """What all trainings of all methods would score: lots over images and over seeds."""

    points: NDArray[np.float64]  # methods x seeds
    images: NDArray[np.float64]  # resamples x methods, less their mean

    def samples(self, methods: Sequence[int], seeds: int) -> list[Sample]:
        """Return what is known of methods that have so many seeds."""
        given = tuple(range(seeds))
        return [
            Sample(own, own.mean() + self.images[:, n], UNITS, seeds=given)
            for n in methods
            if (own := self.points[n, :seeds]) is not None
        ]


def world(rng: np.random.Generator, means: Sequence[float], spread: float, seeds: int) -> World:
    """Return a world of methods with true `means`, whose trainings have this standard deviation."""
    own = OF_IMAGES * IMAGES**0.5 * rng.normal(size=(IMAGES, len(means)))
    values = 5 * rng.normal(size=(IMAGES, 1)) + own
    lots = spread * rng.normal(size=(len(means), seeds))
    points = (np.array(means) + values.mean(axis=0))[:, None] + lots
    return World(points, DRAWN @ values - values.mean(axis=0))


def raced(one: World, rule: SeedRace, draws: int) -> Race:
    """Return the race of a world's methods, which are called by their numbers."""

    def worse(methods: Sequence[str], seeds: int) -> list[str]:
        found = one.samples([int(name) for name in methods], seeds)
        return [methods[n] for n in confidence_set(found, share(rule), draws=draws).left]

    return judge(rule, [str(n) for n in range(len(one.points))], worse)


def races(
    times: int, means: Sequence[float], spread: float, rule: SeedRace = RULE, draws: int = 1000
) -> Iterator[tuple[bool, float, int]]:
    """Yield of each race whether a best method was lost, the trainings saved, and how many left."""
    rng = np.random.default_rng(round(10 * spread) + len(set(means)))
    best = {str(n) for n, mean in enumerate(means) if mean == max(means)}
    for _ in range(times):
        race = raced(world(rng, means, spread, rule.at_most), rule, draws)
        made = sum(race.due(method) for method in race.methods)
        saved = 1 - made / (len(means) * rule.at_most)
        yield bool(best - set(race.alive)), saved, len(race.alive)


def ends(times: int, spread: float, draws: int) -> Iterator[tuple[float, bool, bool]]:
    """Yield of each race among methods a point apart what its unequal numbers of seeds do.

    How far those that stopped are from their mean over all seeds, and whether the simultaneous
    intervals of all differences hold: to the best, which the results chose, and to the worst.
    """
    means = [-float(n) for n in range(6)]
    rng = np.random.default_rng(5)
    for _ in range(times):
        one = world(rng, means, spread, RULE.at_most)
        race = raced(one, RULE, draws)
        given = [race.due(str(n)) for n in range(len(means))]
        out = [n for n in range(len(means)) if race.stopped_after(str(n)) is not None]
        away = [float(one.points[n, : given[n]].mean() - one.points[n].mean()) for n in out]
        samples = [one.samples([n], seeds)[0] for n, seeds in enumerate(given)]
        best = max(range(len(means)), key=lambda n: samples[n].mean)
        held = [_hold(samples, means, which, which == best) for which in (best, len(means) - 1)]
        yield float(np.mean(away or [0.0])), held[0], held[1]


def _hold(samples: Sequence[Sample], means: Sequence[float], reference: int, chosen: bool) -> bool:
    made = against(samples, reference, chosen=chosen) or []
    others = [mean - means[reference] for n, mean in enumerate(means) if n != reference]
    return all(one.low <= true <= one.high for one, true in zip(made, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    print(f"{options.races} races each, {RULE.at_least} to {RULE.at_most} seeds\n")
    print("| methods | seed sd | a best one lost | trainings saved | left at the end |")
    print("|---|---:|---:|---:|---:|")
    for field, means in FIELDS.items():
        for spread in SPREADS:
            found = np.array([*races(options.races, means, spread, draws=options.draws)], float)
            lost, saved, left = found.mean(axis=0)
            print(
                f"| {field} | {spread:g} | {100 * lost:.1f} % | {100 * saved:.0f} % | {left:.1f} |",
                flush=True,
            )
    print("\nOf six methods a point apart, at the end of a race:\n")
    print("| seed sd | means of stopped ones off by | intervals to the best hold | to the worst |")
    print("|---:|---:|---:|---:|")
    for spread in SPREADS:
        off, best, worst = np.mean([*ends(options.races // 4, spread, options.draws)], axis=0)
        print(f"| {spread:g} | {off:+.2f} | {100 * best:.0f} % | {100 * worst:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
