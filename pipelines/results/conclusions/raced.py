"""What may be said of a race of seeds, in sentences: who stopped when, and how it was decided."""

from __future__ import annotations

from pipelines.results.conclusions.wording import listed
from pipelines.results.rounds.saved import Saved
from pipelines.results.statistics.best import ALPHA
from pipelines.results.statistics.race import Race, share

AFTER = (
    "Where seeds are raced, intervals and p of differences do not know of the rounds, and means of "
    "methods that stopped are a little low: in simulated races the intervals of one column held "
    "together in 92 to 98 of 100."
)


def procedure(race: Race) -> str:
    """Return how a race decides, in two sentences."""
    rule, level = race.rule, 100 * share(race.rule)
    return (
        f"By rounds of seeds: after each from {rule.at_least} to {rule.at_most} the methods "
        f"outside the model confidence set (Hansen, Lunde and Nason 2011) stop, over test images "
        f"and seeds. Each of {rule.decisions} rounds may lose the best in {level:.2g} of 100 "
        f"races, all together in at most {100 * ALPHA:g} (Bonferroni)."
    )


def told(race: Race, saved: Saved) -> str:
    """Return in which round each method stopped, how far the race is, and what it has saved."""
    parts = [f"after {one.seeds} seeds {listed(one.stopped)}" for one in race.rounds if one.stopped]
    out = f"Stopped as worse: {'; '.join(parts)}. " if parts else "No method has stopped. "
    gained = ""
    if saved.trainings:
        hours = f", about {_hours(saved.hours)}" if saved.hours else ""
        gained = f" Saved: {saved.trainings} of {saved.of} trainings{hours}."
    return f"Seeds are raced. {out}{_standing(race)}{gained}"


def _standing(race: Race) -> str:
    left, most = len(race.alive), race.rule.at_most
    if not race.rounds:
        return f"The first round, {race.rule.at_least} seeds of every method, is not complete."
    if left == 1:
        return f"Decided after {race.seeds} of at most {most} seeds: {race.alive[0]} is left."
    if race.ended:
        return f"Not decided with {most} seeds: {listed(race.alive)} are left."
    return f"Not over after {race.seeds} of at most {most} seeds: {listed(race.alive)} are left."


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"
