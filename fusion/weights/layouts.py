"""How authors lay out their checkpoints, undone in this one place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

WRAPPINGS = ("state_dict", "model_state_dict", "model", "params_ema", "params", "net")
"""Names under which trainers keep the weights, beside epochs and optimizers."""

DEPTH = 8
"""A mapping may hold itself, and must not keep us busy for ever."""


def flat(content: Any, nested: Mapping[str, str], ignored: Sequence[str]) -> Any:
    """Return `content` as one mapping from key to weight; what is no mapping stays as it is.

    The usual wrappings and "module." (DataParallel) go, the parts that `nested` names get their
    prefix, and keys that match `ignored` are left out.
    """
    content = _unwrap(content, nested)
    if not isinstance(content, Mapping):
        return content
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name in nested and isinstance(value, Mapping):
            found |= {nested[name] + key: part for key, part in _unwrap(value, {}).items()}
        else:
            found[name] = value
    return {key: value for key, value in found.items() if not matches(key, ignored)}


def matches(key: str, patterns: Sequence[str]) -> bool:
    """Tell whether one of the regular expressions fits `key` from its first letter."""
    return any(re.match(pattern, key) for pattern in patterns)


def _unwrap(content: Any, stop: Mapping[str, str]) -> Any:
    """Return the state dict inside `content`, or the mapping that holds the parts in `stop`."""
    for _ in range(DEPTH):
        if not isinstance(content, Mapping):
            return content
        inner = next((name for name in WRAPPINGS if _holds(content, name)), None)
        if inner is None or any(_holds(content, name) for name in stop):
            break
        content = content[inner]
    keys = [str(key) for key in content]
    if all(key.startswith("module.") for key in keys):
        keys = [key.removeprefix("module.") for key in keys]
    return dict(zip(keys, content.values(), strict=True))


def _holds(content: Mapping[Any, Any], name: str) -> bool:
    return isinstance(content.get(name), Mapping)
