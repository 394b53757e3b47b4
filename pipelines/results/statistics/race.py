"""How the race of a task stands: which methods stopped after how many seeds, and who gets one more.

After each complete round the methods outside the confidence set of the best stop. Each of the
rounds that there can be has an equal share of 5 %, so that the best is lost in at most 5 % of
races, wherever they end (Bonferroni's bound); that the rounds share test images and seeds makes it
less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.results.statistics.best import ALPHA
from pipelines.specs.values.seeds import SeedRace

Decide = Callable[[Sequence[str], int], Sequence[str] | None]
"""Which of some methods are worse after so many seeds each; None while one has not got them."""


@dataclass(frozen=True)
class Round:
    """One decision: after `seeds` seeds of each of `methods`, `stopped` are worse, and out."""

    seeds: int
    methods: tuple[str, ...]
    stopped: tuple[str, ...]


@dataclass(frozen=True)
class Race:
    """The complete rounds of a task, by which all else is decided."""

    rule: SeedRace
    methods: tuple[str, ...]
    rounds: tuple[Round, ...] = ()

    @property
    def alive(self) -> tuple[str, ...]:
        """The methods among which the best is, as far as is known."""
        out = {method for one in self.rounds for method in one.stopped}
        return tuple(method for method in self.methods if method not in out)

    @property
    def seeds(self) -> int:
        """How many seeds the last complete round was of; 0 before the first."""
        return self.rounds[-1].seeds if self.rounds else 0

    @property
    def ended(self) -> bool:
        """Whether one method is left, or all have got every seed."""
        return bool(self.rounds) and (len(self.alive) == 1 or self.seeds == self.rule.at_most)

    @property
    def level(self) -> float:
        """The risk that all complete rounds together have taken to lose the best."""
        return share(self.rule) * len(self.rounds)

    def stopped_after(self, method: str) -> int | None:
        """Return after how many seeds a method was out; None for one that is not."""
        return next((one.seeds for one in self.rounds if method in one.stopped), None)

    def due(self, method: str) -> int:
        """Return how many seeds a method is to have got, the next round's included."""
        out = self.stopped_after(method)
        if out is not None:
            return out
        return self.seeds if self.ended else max(self.seeds + 1, self.rule.at_least)


def share(rule: SeedRace) -> float:
    """Return each round's share of alpha."""
    return ALPHA / rule.decisions


def judge(rule: SeedRace, methods: Sequence[str], decide: Decide) -> Race:
    """Return the race as it stands: all rounds that are complete, each decided by `decide`."""
    race = Race(rule, tuple(methods))
    while not race.ended:
        seeds, alive = max(race.seeds + 1, rule.at_least), race.alive
        worse = decide(alive, seeds) if len(alive) > 1 else ()
        if worse is None:
            break
        race = Race(rule, race.methods, (*race.rounds, Round(seeds, alive, tuple(worse))))
    return race
