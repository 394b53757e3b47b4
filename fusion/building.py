"""Methods made of parameters that somebody gave: too large ones are refused first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fusion.errors import InputError
from fusion.method import FusionMethod

LARGE, LONG = 512, 1000
"""A whole number that is no width of a network we know, and a list that is none of its layers."""
MOST_WEIGHTS = 500_000_000


def build(cls: type[FusionMethod], name: str, params: Mapping[str, Any]) -> FusionMethod:
    """Return ``cls(**params)``, the method `name`.

    Raises InputError for parameters of which no network can be made, or one of too many weights.
    """
    try:
        if any(isinstance(value, list | tuple) and len(value) > LONG for value in params.values()):
            raise ValueError(f"a list has more than {LONG:,} values")
        if any(_is_large(value) for value in params.values()):
            _check_size(cls, name, params)
        return cls(**params)
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f'The method "{name}" cannot be made with {_shown(params)}: {why}; give other '
            f"parameters."
        ) from error


def _is_large(value: Any) -> bool:
    if isinstance(value, Mapping | Iterable) and not isinstance(value, str):
        return any(_is_large(one) for one in value)
    return isinstance(value, int) and abs(value) > LARGE


def _check_size(cls: type[FusionMethod], name: str, params: Mapping[str, Any]) -> None:
    """Build it without memory, as torch's "meta" tensors are, and count."""
    import torch

    with torch.device("meta"):
        made = cls(**params)
    weights = sum(one.numel() for one in made.parameters())
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"it would have {weights:,} weights, and at most {MOST_WEIGHTS:,} are made"
        )


def _shown(params: Mapping[str, Any]) -> str:
    text = ", ".join(f"{key}={value!r:.60}" for key, value in params.items())
    return text if len(text) <= 300 else f"{text[:297]}..."
