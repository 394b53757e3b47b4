"""What every part of an experiment's file is: frozen, checked data; paths are expanded."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from fusion.errors import did_you_mean
from fusion.settings import Settings

STARTS = Path(str(resources.files("configs"))) / "starts"
"""Weights that trainings may start from, with how they were made (README.md there)."""


class Spec(Settings):
    """A part of an experiment's file."""


def expand(value: Any) -> Any:
    """Replace ``~`` and ``$NAME`` in a path; a variable that is not set is an error."""
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(os.path.expanduser(value))  # noqa: PTH111 - the text may hold both
    if "$" in text:
        name = text.split("$", 1)[1].strip("{").split("}")[0].split("/")[0]
        raise ValueError(
            f'"{value}" uses the environment variable {name}, which is not set; '
            f"set it to the folder that holds your data, or give a full path"
        )
    return text


FEW = 4
"""Among more words than these, the one that was meant is looked for."""


def said(error: Any) -> str:
    """Return what is wrong with a value, of one of pydantic's errors, without a full stop."""
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        if len(known) > FEW:
            return f"not known.{did_you_mean(str(error['input']), known)}".removesuffix(".")
    return str(error["msg"].removeprefix("Value error, ").removesuffix("."))


def starting_point(value: Any) -> Any:
    """Replace what `expand` does; one word alone names weights that come with this package."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w-]+", value) or Path(value).exists():
        return expand(value)
    path = STARTS / f"{value}.pt"
    if path.is_file():
        return str(path)
    hint = did_you_mean(value, sorted(one.stem for one in STARTS.glob("*.pt")))
    raise ValueError(f'"{value}" is no file, and no weights of that name come with us.{hint}')


LocalPath = Annotated[Path, BeforeValidator(expand)]
