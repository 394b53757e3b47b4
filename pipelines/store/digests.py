"""What identifies a thing: digests of plain values, and seeds derived from names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Any) -> str:
    """Return the sha256 of `value` as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def derive_seed(*names: str | int) -> int:
    """Return a seed in [0, 2^31) that depends on `names` alone, never on an order of listing."""
    return int(digest(list(names))[:8], 16) >> 1


def names_digest(files: Mapping[str, str]) -> str:
    """Return one digest for ``{name: sha256}``, whatever the order."""
    return digest(sorted(files.items()))
