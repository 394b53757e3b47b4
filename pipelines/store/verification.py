"""Reads a whole store again: which finished stages no longer hold what was written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.store.aside import set_aside, set_files_aside
from pipelines.store.contents import READ_AT_ONCE
from pipelines.store.stage import Manifest
from pipelines.store.store import MANIFEST, TORN, Busy, Store, locked
from pipelines.store.trust import contents_of, damages, product_damages, used

Products = Mapping[str, Sequence[str]]
"""The names of the products by kind, for stages of before there were lists of files."""


@dataclass(frozen=True)
class Looked:
    """A finished stage, and what is wrong with it, a sentence a file.

    Only what is wrong with `products` makes it broken; `others` are the files that views show.
    Of what was made of a broken stage some `stay`, and some are in `doubt`: titles. It is not
    `dated` when it broke without a trace in the times of its files, as on a bad disk.
    """

    folder: Path
    manifest: Manifest | None
    products: tuple[str, ...]
    others: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0
    stay: tuple[str, ...] = ()
    doubt: tuple[str, ...] = ()
    dated: bool = True

    @property
    def title(self) -> str:
        """``kind/key``."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def old(self) -> bool:
        """Whether it is of before there were lists, so that no single file can be blamed."""
        return self.manifest is not None and self.manifest.seal is None


def look(store: Store, products: Products, report: Callable[[int, int], None]) -> list[Looked]:
    """Read every finished stage of a store whole; `report` is told how many of how many."""
    folders = sorted(path for path in (store.root / "stages").glob("*/*") if path.is_dir())
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        done = []
        for one in pool.map(lambda folder: _look(store, folder, products), folders):
            done.append(one)
            report(len(done), len(folders))
    return [_judged(one, done) if one.products else one for one in done]


def _look(store: Store, folder: Path, products: Products) -> Looked:
    try:
        return _read(store, folder, products)
    except OSError as error:  # of a bad disk
        return Looked(folder, None, (f"{error.filename or folder}: {error.strerror}",))


def _read(store: Store, folder: Path, products: Products) -> Looked:
    try:
        manifest = store.manifests.read(folder / MANIFEST)
    except FileNotFoundError:  # or the whole stage, by now
        return Looked(folder, None, (f"{MANIFEST} is missing",) if folder.is_dir() else ())
    except ValueError:
        return Looked(folder, None, (TORN,))
    if (manifest.kind, manifest.key) != (folder.parent.name, folder.name):
        return Looked(folder, None, (f"{MANIFEST} is of {manifest.kind}/{manifest.key}",))
    names = products.get(manifest.kind, ())
    wrong = tuple(product_damages(folder, manifest, names, paranoid=True))
    contents = contents_of(folder, manifest)
    if contents is None:
        return Looked(folder, manifest, wrong)
    needed = used(contents)
    shown = {name: one for name, one in contents.others.items() if name not in needed}
    there = {name: one for name, one in shown.items() if (folder / name).exists()}
    others = tuple(damages(folder, there, there))
    read = [*needed.values(), *there.values()]
    return Looked(folder, manifest, wrong, others, len(read), sum(size for size, _ in read))


def _judged(broken: Looked, all_of_them: Sequence[Looked]) -> Looked:
    """Return a broken stage with what was made of it: before it broke, or perhaps after."""
    kind, key = broken.folder.parent.name, broken.folder.name
    made_of_it = [
        one
        for one in all_of_them
        if one.manifest is not None
        and any((i.kind, i.key) == (kind, key) for i in one.manifest.inputs.values())
    ]
    begun, changed = _finished(broken), _changed(broken)
    doubt = [one.title for one in made_of_it if begun < changed <= _finished(one)]
    stay = tuple(one.title for one in made_of_it if one.title not in doubt)
    return replace(broken, stay=stay, doubt=tuple(doubt), dated=begun < changed)


def _finished(one: Looked) -> float:
    """Return when a stage was finished, s since the epoch; never, where nothing says it."""
    path = one.folder / MANIFEST
    return path.stat().st_mtime if path.is_file() else float("inf")


def _changed(one: Looked) -> float:
    """Return when the files that are wrong were last written; of missing ones their folder."""
    places = [one.folder / sentence.split(" ", 1)[0] for sentence in one.products]
    there = [next(p for p in (place, *place.parents) if p.exists()) for place in places]
    return max((place.stat().st_mtime for place in there), default=0.0)


def repair(store: Store, looked: Sequence[Looked]) -> Iterator[str]:
    """Set aside what is broken, and what may have been made of it; yield a sentence for each."""
    doubted = {title: one.title for one in looked for title in one.doubt}
    for one in looked:
        why = one.products[0] if one.products else None
        if why is None and one.title in doubted:
            why = f"it may have been made of {doubted[one.title]} when that was broken"
        if why is None and not one.others:
            continue
        try:
            with locked(store.root, one.title.replace("/", "-")):
                if _is_as_it_was(store, one):
                    yield from _repaired(store, one, why)
        except Busy:
            yield f"{one.title} is being made by another process, and left alone"


def _is_as_it_was(store: Store, one: Looked) -> bool:
    """Whether no other run has made a stage again since it was looked at."""
    try:
        return store.manifests.read(one.folder / MANIFEST) == one.manifest
    except (OSError, ValueError):
        return one.manifest is None


def _repaired(store: Store, one: Looked, why: str | None) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):  # another run was faster
        if why is not None:
            place = set_aside(store.root, one.folder, why)
            yield f"{one.title} is set aside in {place}; the next run that needs it makes it again"
        else:
            names = [sentence.split(" ", 1)[0] for sentence in one.others]
            place = set_files_aside(store.root, one.folder, names, one.others[0])
            yield f"{one.title} stays; {', '.join(names)}, which only views show, lies in {place}"
