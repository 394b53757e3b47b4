"""The store: a finished stage is one directory with a manifest, renamed into place at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from fusion.files import sync, sync_tree, write_durably
from pipelines.store.files import FileDigests, tree_digest
from pipelines.store.stage import Manifest, Stage

MANIFEST = "manifest.json"
USAGE = "usage.json"
"""What a worker leaves beside a result: facts about its process that join the manifest."""


class Busy(Exception):
    """Another process is making this stage."""


class Vanished(Exception):
    """An input of a stage was removed, or is to be made again, while the stage was being made."""


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
        return self.root / "stages" / stage.kind.name / stage.key

    def partial(self, stage: Stage) -> Path:
        """Where the stage is being made; its log stays here when it fails."""
        return self.root / "partial" / f"{stage.kind.name}-{stage.key}"

    def manifest(self, stage: Stage) -> Manifest | None:
        """Return the manifest of a finished stage whose inputs are still the ones it was made of.

        Returns None when there is none, when it cannot be read, or when an input has been made
        again with another result or is to be. An input that somebody has removed to save space
        does no harm.
        """
        return Reading(self).manifest(stage)

    def is_finished(self, stage: Stage) -> bool:
        """Whether `manifest` finds the stage."""
        return self.manifest(stage) is not None

    @contextlib.contextmanager
    def claim(self, stage: Stage, *, keep: bool) -> Iterator[Path]:
        """Give the stage's partial directory, locked; wiped first unless `keep`.

        It is wiped, too, when an input has been made again with another result since. The lock
        dies with its process, so that a killed run blocks nobody. Raises Busy while another
        process holds it.
        """
        locks = self.root / "locks"
        locks.mkdir(exist_ok=True)
        with (locks / f"{stage.kind.name}-{stage.key}").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(stage.title) from error
            partial = self.partial(stage)
            lock.seek(0)
            made_of, sources = lock.read(), self._sources(stage)
            if partial.exists() and not (keep and made_of == sources):
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            for unfinished in partial.rglob("*.part"):  # of a write that was killed
                unfinished.unlink()
            lock.truncate(0)
            lock.write(sources)
            lock.flush()
            yield partial

    def _sources(self, stage: Stage) -> str:
        """Return what the inputs of a stage are at present, as one text."""
        found = {role: self.manifest(source) for role, source in stage.inputs.items()}
        return json.dumps({role: made and made.digest for role, made in sorted(found.items())})

    def commit(self, stage: Stage, facts: Mapping[str, Any]) -> None:
        """Write the manifest last and rename the partial directory into place.

        What is finished is on disk, whole, before it counts: a power cut leaves it, or leaves it
        to be made again.
        `facts` are the manifest's fields but for the stage's own, its inputs' and its products'.
        Raises Vanished when an input is no longer there.
        """
        partial, final = self.partial(stage), self.directory(stage)
        path, usage = partial / MANIFEST, partial / USAGE
        manifest = {**self._identity(stage), **facts}
        if usage.is_file():
            manifest |= json.loads(usage.read_text(encoding="utf-8"))
            usage.unlink()
        sync_tree(partial)
        write_durably(path, json.dumps(manifest, indent=1, sort_keys=True))
        final.parent.mkdir(parents=True, exist_ok=True)
        stale = partial.with_suffix(".stale")
        if final.exists():  # made of inputs that have changed since
            shutil.rmtree(stale, ignore_errors=True)
            final.rename(stale)
        partial.rename(final)
        for place in (final.parent, final.parent.parent, self.root, partial.parent):
            sync(place)
        shutil.rmtree(stale, ignore_errors=True)

    def _identity(self, stage: Stage) -> dict[str, Any]:
        inputs = {}
        for role, source in stage.inputs.items():
            manifest = self.manifest(source)
            if manifest is None:
                raise Vanished(f"{source.title}, an input of {stage.title}, vanished; run again.")
            inputs[role] = {
                "kind": source.kind.name,
                "key": source.key,
                "digest": manifest.digest,
            }
        return {
            "kind": stage.kind.name,
            "key": stage.key,
            "version": stage.kind.version,
            "spec": dict(stage.spec),
            "local": dict(stage.local),
            "inputs": inputs,
            "digest": tree_digest(self.partial(stage), stage.kind.products),
        }


class Reading:
    """Reads the manifests of many stages as they stand, each file once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, Manifest | None] = {}

    def manifest(self, stage: Stage) -> Manifest | None:
        """Return what `Store.manifest` does."""
        if stage.title not in self._read:
            self._read[stage.title] = self._valid(stage)
        return self._read[stage.title]

    def _valid(self, stage: Stage) -> Manifest | None:
        path = self._store.directory(stage) / MANIFEST
        if not path.is_file():
            return None
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValueError:  # torn or not ours: the stage is made again
            return None
        for role, upstream in stage.inputs.items():
            if not (self._store.directory(upstream) / MANIFEST).is_file():
                continue
            source = self.manifest(upstream)
            if source is None or source.digest != manifest.inputs[role].digest:
                return None
        return manifest


def open_store(root: str | Path | None = None) -> Store:
    """Return the store at `root`, else ``$FUSE_THEN_STORE``, else ``./runs``."""
    place = Path(root or os.environ.get("FUSE_THEN_STORE") or "runs")
    try:
        return Store(place)
    except OSError as error:
        raise InputError(
            f"The store {place} cannot be created ({error.strerror}); give another with --store."
        ) from error
