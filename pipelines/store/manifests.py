"""Reads manifests, each file once in a process as long as it stays as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.store.digests import digest
from pipelines.store.files import settled
from pipelines.store.stage import Manifest

SEALED = ("kind", "key", "version", "spec", "inputs", "metrics", "contents")
"""What a result is known by; the rest of a manifest tells how it came about."""


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest's fields as they read back from JSON, with their seal."""
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return {**plain, "seal": digest({name: plain[name] for name in SEALED})}


class Manifests:
    """The manifests read so far, by path and by what the file was then."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Manifest]] = {}

    def read(self, path: Path) -> Manifest:
        """Return a manifest; raises OSError, and ValueError for one that is torn or changed."""
        about = path.stat()
        state = (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
        known = self._known.get(str(path))
        if known is None or known[0] != state:
            known = state, _read(path)
            if settled(about.st_mtime_ns):
                self._known[str(path)] = known
        return known[1]


def _read(path: Path) -> Manifest:
    manifest = Manifest.model_validate_json(path.read_bytes())
    if manifest.seal is not None:
        fields = manifest.model_dump(mode="json", include=set(SEALED))
        if manifest.seal != digest(fields):
            raise ValueError(f"{path} is not what was written")
    return manifest
