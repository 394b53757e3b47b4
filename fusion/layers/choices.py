"""What a method's constructor says about an argument it cannot use."""

from __future__ import annotations

from collections.abc import Sequence

from fusion.errors import InputError


def require_choice(method: str, name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise InputError unless the parameter `name` of `method` is one of the `allowed` words."""
    if not isinstance(value, str) or value not in allowed:
        words = " or ".join(f'"{word}"' for word in allowed)
        raise InputError(f"{method}: {name} is {value!r}, but must be {words}; change it.")


def require_switch(method: str, name: str, value: object) -> None:
    """Raise InputError unless the parameter `name` of `method` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{method}: {name} is {value!r}, but must be true or false; change it.")
