"""A dataset as experiments see it: pairs, labels and splits, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusion.pairs import ImagePair
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.digests import digest, names_digest
from pipelines.store.files import FileDigests

Progress = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""


@dataclass(frozen=True)
class Dataset:
    """Pairs and labels by name, and the names of each split.

    `scenes` is the scene of an image, by name; an image without one is its own.
    """

    spec: DatasetSpec
    pairs: Mapping[str, ImagePair]
    labels: Mapping[str, Path]
    splits: Mapping[str, tuple[str, ...]]
    scenes: Mapping[str, str] = field(default_factory=dict)

    def pairs_digest(self, digests: FileDigests, names: tuple[str, ...] | None = None) -> str:
        """Return the digest of the pixels' files of `names` (default: all pairs)."""
        chosen = [self.pairs[name] for name in (self.pairs if names is None else names)]
        known = digests.of(path for pair in chosen for path in (pair.infrared, pair.visible))
        return names_digest({p.name: known[p.infrared] + known[p.visible] for p in chosen})

    def labels_digest(self, digests: FileDigests) -> str:
        """Return the digest of the label files."""
        known = digests.of(self.labels.values())
        return names_digest({name: known[path] for name, path in self.labels.items()})

    @property
    def test(self) -> tuple[str, ...]:
        """The names of the test split; without a split, all."""
        return self.splits["test"] if self.splits else tuple(self.pairs)

    def part_of(self, name: str) -> str:
        """Return the part of the dataset that a pair comes from, "" when there are no parts."""
        return name.partition("-")[0] if self.spec.parts else ""

    def split_digest(self) -> str:
        """Return the digest of which name is in which split."""
        return digest({name: sorted(names) for name, names in self.splits.items()})
