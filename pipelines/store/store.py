"""The store: a finished stage is one directory with a manifest, renamed into place at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from pipelines.store.digests import FileDigests, digest

MANIFEST = "manifest.json"
USAGE = "usage.json"
"""What a worker leaves beside a result: facts about its process that join the manifest."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the work, known by the digest of all that determines its result.

    `spec` and `inputs` are hashed; `local` says where data lies on this machine and is not.
    """

    kind: str
    version: int
    spec: Mapping[str, Any]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    local: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Sixteen hex digits."""
        inputs = {role: stage.key for role, stage in self.inputs.items()}
        return digest([self.kind, self.version, self.spec, inputs])[:16]

    @property
    def title(self) -> str:
        """``kind/key``, as the directory is called."""
        return f"{self.kind}/{self.key}"


class Busy(Exception):
    """Another process is making this stage."""


class Store:
    """Finished stages under ``root/stages``, unfinished ones under ``root/partial``."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.root.mkdir(parents=True, exist_ok=True)

    @cached_property
    def digests(self) -> FileDigests:
        """The remembered digests of files outside the store."""
        return FileDigests(self.root / "digests.sqlite")

    def directory(self, stage: Stage) -> Path:
        """Where the finished stage lies, or will lie."""
        return self.root / "stages" / stage.kind / stage.key

    def partial(self, stage: Stage) -> Path:
        """Where the stage is being made; its log stays here when it fails."""
        return self.root / "partial" / f"{stage.kind}-{stage.key}"

    def manifest(self, stage: Stage) -> dict[str, Any] | None:
        """Return the manifest of a finished stage whose inputs are still the ones it was made of.

        Returns None when there is none, or when an input has been made again with another result
        or is to be. An input that somebody has removed to save space does no harm.
        """
        path = self.directory(stage) / MANIFEST
        if not path.is_file():
            return None
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for role, upstream in stage.inputs.items():
            if not (self.directory(upstream) / MANIFEST).is_file():
                continue
            source = self.manifest(upstream)
            if source is None or source["digest"] != manifest["inputs"][role]["digest"]:
                return None
        return manifest

    @contextlib.contextmanager
    def claim(self, stage: Stage, *, keep: bool) -> Iterator[Path]:
        """Give the stage's partial directory, locked; wiped first unless `keep`.

        The lock dies with its process, so that a killed run blocks nobody. Raises Busy while
        another process holds it.
        """
        locks = self.root / "locks"
        locks.mkdir(exist_ok=True)
        with (locks / f"{stage.kind}-{stage.key}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(stage.title) from error
            partial = self.partial(stage)
            if partial.exists() and not keep:
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            yield partial

    def commit(self, stage: Stage, manifest: dict[str, Any]) -> None:
        """Write the manifest last and rename the partial directory into place."""
        partial, final = self.partial(stage), self.directory(stage)
        path, usage = partial / MANIFEST, partial / USAGE
        if usage.is_file():
            manifest = {**manifest, **json.loads(usage.read_text(encoding="utf-8"))}
            usage.unlink()
        with path.open("w", encoding="utf-8") as stream:
            json.dump(manifest, stream, indent=1, sort_keys=True)
            stream.flush()
            os.fsync(stream.fileno())
        final.parent.mkdir(parents=True, exist_ok=True)
        stale = partial.with_suffix(".stale")
        if final.exists():  # made of inputs that have changed since
            shutil.rmtree(stale, ignore_errors=True)
            final.rename(stale)
        partial.rename(final)
        shutil.rmtree(stale, ignore_errors=True)


def open_store(root: str | Path | None = None) -> Store:
    """Return the store at `root`, else ``$FUSE_THEN_STORE``, else ``./runs``."""
    place = Path(root or os.environ.get("FUSE_THEN_STORE") or "runs")
    try:
        return Store(place)
    except OSError as error:
        raise InputError(
            f"The store {place} cannot be created ({error.strerror}); give another with --store."
        ) from error
