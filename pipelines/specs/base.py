"""What every part of an experiment's file is: frozen, checked data; paths are expanded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from fusion.settings import Settings


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


LocalPath = Annotated[Path, BeforeValidator(expand)]
