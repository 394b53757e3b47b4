"""Our settings beside what the paper states: followed, changed, or not stated by the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pipelines.results.protocol.stated import Statement
from pipelines.specs.values.grid import readable
from pipelines.tasks.facts import NOT_HASHED

FOLLOWED = "Stated by the paper and followed"
CHANGED = "Settings that differ from the paper's"
SILENT = "Not stated by the paper, ours"
APART = ("dataset", "seed")
"""Of a dataset only what the paper states is compared; of seeds it is said how many there are."""
RARE = ("pretrain", "pretrained")
"""What only some networks have: where there is none, nothing is said."""
MISSING = object()


@dataclass(frozen=True)
class Compared:
    """Settings in words, sorted by what the paper says of them."""

    followed: tuple[str, ...]
    changed: tuple[str, ...]
    silent: tuple[str, ...]

    def sentences(self, whose: str = "") -> Iterator[str]:
        """Yield a sentence for each group that is not empty; `whose` says of what."""
        groups = ((CHANGED, self.changed), (SILENT, self.silent), (FOLLOWED, self.followed))
        for title, words in groups:
            if words:
                yield f"{title}{whose}: {', '.join(words)}."


def compare_settings(spec: BaseModel, stated: Sequence[Statement]) -> Compared:
    """Compare every setting of a model that can change a result with what the paper states."""
    followed, changed = [], []
    for one in stated:
        ours, name = _ours(spec, one), one.setting.removesuffix(".name")
        if one.met(ours):
            vague = f" (the paper: {one.value})" if one.among else ""
            followed.append(f"{name} {words(ours)}{vague}")
        else:
            changed.append(f"{name} {words(ours)} (paper: {words(one.value)})")
    known = {one.setting for one in stated}
    silent = [
        f"{name} {words(getattr(spec, name))}"
        for name in type(spec).model_fields
        if name not in known and name not in APART and name not in NOT_HASHED
        if name not in RARE or getattr(spec, name) is not None
    ]
    return Compared(tuple(followed), tuple(changed), tuple(silent))


def _ours(spec: BaseModel, statement: Statement) -> Any:
    """Return our value of what the paper states: a setting, or a part of the dataset."""
    value: Any = spec
    for part in statement.setting.split("."):
        value = getattr(value, part, MISSING)
        if getattr(value, "file", None) is not None:  # a split's names are given, its ratios idle
            return value.file
        if getattr(value, "folds", None) is not None:  # and these take the place of ratios
            return f"{value.folds} folds"
    if value is MISSING:
        return statement.value if statement.built_in else None
    return value


def words(value: Any) -> str:
    """Return a value as a footnote shows it: of a path its name alone."""
    if value is None or value == ():
        return "none"
    if isinstance(value, BaseModel):
        known = {key: one for key, one in value if key not in (*APART, *NOT_HASHED)}
        return f"({words(known)})"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={readable(one)}" for key, one in value.items())
    if isinstance(value, list | tuple) and any(isinstance(one, str) for one in value):
        return " ".join(map(str, value))
    return readable(value).rsplit("/", 1)[-1]
