"""Seeds given where they decide: rounds of one seed each, in which what is worse stops."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pipelines.specs.base import Spec

MOST_SEEDS = 1000
MOST = 2**32 - 1
"""What all sources of lots take as a seed."""
Seed = Annotated[int, Field(ge=0, le=MOST)]
AS_RACE, AS_LIST = "(a race)", "(a list)"
"""How pydantic names the two forms of `seeds` in an error's place; nobody writes them."""


class SeedRace(Spec):
    """Seeds 0, 1, ...: `at_least` for every method, then one a round for those still in question.

    A round ends when each of them has its seed. Then the methods outside the confidence set of the
    best stop, and the others go on until one is left, or all have `at_most`.
    """

    at_least: int = Field(ge=2, le=MOST_SEEDS)
    at_most: int = Field(ge=2, le=MOST_SEEDS)
    until: Literal["decided"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.at_most < self.at_least:
            raise ValueError(f"at_most must be {self.at_least} or more, which is at_least")
        return self

    @property
    def seeds(self) -> tuple[int, ...]:
        """All that a method may be given."""
        return tuple(range(self.at_most))

    @property
    def decisions(self) -> int:
        """How often it is decided who stops: after the first `at_least` seeds, then each round."""
        return self.at_most - self.at_least + 1


def _form(value: Any) -> str:
    return AS_RACE if isinstance(value, dict | SeedRace) else AS_LIST


SeedList = Annotated[tuple[Seed, ...], Field(max_length=MOST_SEEDS), Tag(AS_LIST)]
Seeds = Annotated[Annotated[SeedRace, Tag(AS_RACE)] | SeedList, Discriminator(_form)]
"""A list, the same for all methods, or a race."""
