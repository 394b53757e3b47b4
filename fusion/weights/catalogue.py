"""The list of published checkpoints, read from ``configs/weights.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class WeightFile:
    """One file: its name at the authors', its page, and, where known, address, size and digests.

    `bytes`, `sha256` and `git_blob` (sha1 as ``git hash-object`` computes it) are None where
    nobody here has had the file; `url` is None where it must be fetched by hand from `source`.
    """

    name: str
    source: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    git_blob: str | None = None

    @property
    def identified(self) -> bool:
        """Whether a digest of the file is known."""
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Published:
    """One checkpoint: the method, its variant if it has several, and the preset it belongs to.

    `licence` is that of the weights as far as their repository states one. `trained_on` says what
    its authors trained it on; of the data sets `may_know` it may know the test images.
    """

    method: str
    licence: str
    files: tuple[WeightFile, ...]
    variant: str = ""
    preset: str | None = None
    trained_on: str = "what is not stated"
    may_know: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """METHOD or METHOD/VARIANT."""
        return f"{self.method}/{self.variant}" if self.variant else self.method


@cache
def published() -> tuple[Published, ...]:
    """Return all published checkpoints, sorted by method, a method's own choice first."""
    import yaml

    text = (resources.files("configs") / "weights.yaml").read_text(encoding="utf-8")
    return tuple(
        Published(
            **{
                **entry,
                "files": tuple(WeightFile(**file) for file in entry["files"]),
                "may_know": tuple(entry.get("may_know", ())),
            }
        )
        for entry in yaml.safe_load(text)
    )
