"""The store: a finished stage is one directory with a manifest, renamed into place at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from fusion.errors import InputError
from fusion.files import sync, sync_tree, write_durably
from fusion.locks import lock_file
from fusion.mounts import unshared_locks
from pipelines.store.aside import set_aside
from pipelines.store.contents import CONTENTS, Contents, list_contents, write_contents
from pipelines.store.files import FileDigests
from pipelines.store.manifests import Manifests, sealed
from pipelines.store.stage import Manifest, Stage
from pipelines.store.trust import damage

MANIFEST = "manifest.json"
NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
TORN = f"{MANIFEST} is torn or not what was written"
USAGE = "usage.json"
"""What a worker leaves beside a result: facts about its process that join the manifest."""


class Busy(Exception):
    """Another process is making this stage."""


class Vanished(Exception):
    """An input of a stage was removed, or is to be made again, while the stage was being made."""


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


class Store:
    """Finished stages under ``root/stages``, unfinished ones under ``root/partial``.

    `paranoid` looks at every byte of a finished stage before it is used. `say` is told of what was
    found broken, one sentence each; a run lets its screen say it.
    """

    def __init__(self, root: Path, *, paranoid: bool = False) -> None:
        self.root = root.expanduser().absolute()
        self.root.mkdir(parents=True, exist_ok=True)
        self.paranoid = paranoid
        self.say: Callable[[str], None] = _tell
        self.manifests = Manifests()
        self._places: dict[str, Path] = {}

    @cached_property
    def _unshared(self) -> str | None:
        return unshared_locks(self.root)

    @cached_property
    def digests(self) -> FileDigests:
        """The remembered digests of files outside the store."""
        return FileDigests(self.root / "digests.sqlite", lambda sentence: self.say(sentence))

    def directory(self, stage: Stage) -> Path:
        """Where the finished stage lies, or will lie."""
        place = self._places.get(stage.title)
        if place is None:  # asked for thousands of times
            place = self._places[stage.title] = self.root / "stages" / stage.kind.name / stage.key
        return place

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
        """Whether `manifest` finds the stage, and what it holds is what was written."""
        manifest = self.manifest(stage)
        return manifest is not None and self._damage(stage, manifest) is None

    def broken(self, stage: Stage) -> str | None:
        """Return what is wrong with a stage that was finished; None for one that never was.

        What was made of it before stays right. A stage that is to be made again because its inputs
        have been is not broken.
        """
        path = self.directory(stage) / MANIFEST
        if not path.parent.is_dir():
            return None
        try:
            return self._damage(stage, self.manifests.read(path))
        except FileNotFoundError:
            return f"{MANIFEST} is missing"
        except ValueError:
            return TORN

    def _damage(self, stage: Stage, manifest: Manifest) -> str | None:
        folder, names = self.directory(stage), stage.kind.products
        return damage(folder, manifest, names, paranoid=self.paranoid)

    def set_aside(self, stage: Stage, why: str) -> Path:
        """Move a broken stage, which its caller has claimed, out of the way; return where it is."""
        return set_aside(self.root, self.directory(stage), why)

    @contextlib.contextmanager
    def claim(self, stage: Stage, *, keep: bool) -> Iterator[Path]:
        """Give the stage's partial directory, locked; wiped first unless `keep`.

        It is wiped, too, when an input has been made again with another result since. The lock
        dies with its process, so that a killed run blocks nobody. Raises Busy while another
        process holds it, and InputError on a file system that keeps locks to this machine.
        """
        if self._unshared is not None:
            raise InputError(f"{self._unshared}, or give another store with --store.")
        name = f"{stage.kind.name}-{stage.key}"
        with locked(self.root, name) as lock:
            partial = self.partial(stage)
            lock.seek(0)
            made_of, sources = lock.read(), self._sources(stage)
            if partial.exists() and not (keep and made_of == sources):
                shutil.rmtree(partial)
            partial.mkdir(parents=True, exist_ok=True)
            for unfinished in partial.rglob("*.part"):  # of a write that was killed
                unfinished.unlink()
            if made_of != sources:
                lock.truncate(0)
                lock.write(sources)
                lock.flush()
            # After a power cut, too, what is kept in there can be found, and is known to be right.
            os.fsync(lock.fileno())
            for place in (self.root / "locks", partial.parent, self.root):
                sync(place)
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
        used = _usage(usage)
        usage.unlink(missing_ok=True)
        manifest = sealed({**self._identity(stage), **facts, **used})
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
        contents = list_contents(self.partial(stage), stage.kind.products)
        return {
            "kind": stage.kind.name,
            "key": stage.key,
            "version": stage.kind.version,
            "spec": dict(stage.spec),
            "local": dict(stage.local),
            "inputs": inputs,
            "digest": contents.digest,
            "contents": self._listed(stage, contents),
        }

    def _listed(self, stage: Stage, contents: Contents) -> str | None:
        """Write the list of a stage's files where other stages depend on some of them."""
        if not contents.products:
            return None
        return write_contents(self.partial(stage) / CONTENTS, contents)


def _usage(path: Path) -> dict[str, Any]:
    """Return what a worker noted of itself; nothing where there is none, or it is torn."""
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


@contextlib.contextmanager
def locked(root: Path, name: str) -> Iterator[TextIO]:
    """Hold the lock of a stage, ``KIND-KEY``; raises Busy while another process does."""
    locks = root / "locks"
    locks.mkdir(mode=0o700, exist_ok=True)
    with lock_file(locks / name) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(name.replace("-", "/")) from error
        yield lock


class Reading:
    """Reads the manifests of many stages as they stand, each file once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, Manifest | None] = {}
        self._known: dict[str, Manifest | None] = {}

    def manifest(self, stage: Stage) -> Manifest | None:
        """Return what `Store.manifest` does."""
        if stage.title not in self._read:
            self._read[stage.title] = self._valid(stage)
        return self._read[stage.title]

    def _valid(self, stage: Stage) -> Manifest | None:
        manifest = self._recorded(stage)
        if manifest is None:
            return None
        for role, upstream in stage.inputs.items():
            if self._recorded(upstream) is None:
                continue
            source = self.manifest(upstream)
            if source is None or source.digest != manifest.inputs[role].digest:
                return None
        return manifest

    def _recorded(self, stage: Stage) -> Manifest | None:
        """Return a manifest whatever has become of the inputs; None where it is gone or torn."""
        if stage.title not in self._known:
            try:
                manifest = self._store.manifests.read(self._store.directory(stage) / MANIFEST)
            except (*NOT_THERE, ValueError):
                manifest = None
            self._known[stage.title] = manifest
        return self._known[stage.title]


def open_store(
    root: str | Path | None = None, *, paranoid: bool = False, existing: bool = False
) -> Store:
    """Return the store at `root`, else ``$FUSE_THEN_STORE``, else ``./runs``.

    Raises InputError for a place that is none and cannot be made one, or is none while an
    `existing` one is asked for.
    """
    place = Path(root or _default())
    if existing and not place.is_dir():
        raise InputError(
            f"There is no store at {place}, so nothing of it can be shown; name the one that holds "
            f"your results with --store, or begin one with `fuse-then compare EXPERIMENT`."
        )
    try:
        return Store(place, paranoid=paranoid)
    except OSError as error:
        raise InputError(
            f"The store {place} cannot be created ({error.strerror}); give another with --store."
        ) from error


def _default() -> str:
    return os.environ.get("FUSE_THEN_STORE") or "runs"


def words_for(store: Store) -> tuple[str, ...]:
    """Return the words that name a store on a command line; none for the one meant without."""
    usual = store.root.resolve() == Path(_default()).resolve()
    return () if usual else ("--store", str(store.root))
