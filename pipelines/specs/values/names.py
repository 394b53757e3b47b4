"""Names that somebody gives: shown everywhere, escaped, and some of them part of a file's name."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator, FailFast

from fusion.errors import is_printable, printable

LONGEST, LONGEST_LABEL = 60, 300
"""Of a name, which becomes part of a file's, and of a row's label, which a grid makes longer."""


def _check(name: str, longest: int) -> str:
    if len(name) > longest:
        raise ValueError(f"at most {longest} letters are taken; this has {len(name):,}")
    if not is_printable(name):
        raise ValueError(f'"{printable(name)}" holds what cannot be printed; take it out')
    return name


Name = Annotated[str, AfterValidator(partial(_check, longest=LONGEST))]
Names = Annotated[tuple[Name, ...], FailFast()]
"""Of many that are wrong, one is told."""
Label = Annotated[str, AfterValidator(partial(_check, longest=LONGEST_LABEL))]
