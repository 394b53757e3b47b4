"""Whether what a finished stage holds is still what was written: a look at every use of it.

Sizes are always compared, and the bytes of everything but images; of images those of a sample,
the same in every run, unless all are asked for. In one process a file is read once as long as it
stays as it is. What the disk refuses to read is not taken for broken: OSError is raised.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from pipelines.store.contents import CONTENTS, Contents, Files, read_contents
from pipelines.store.digests import digest
from pipelines.store.files import file_digest, product_files, settled
from pipelines.store.stage import Manifest

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""Errors by which something else is there, or nothing; by all others the disk does not say."""
TABLED = (".json", ".npz")
"""What tables may be made of, beside products."""
SAMPLED = 8
"""How many images of a stage are read at every use."""

State = tuple[int, int, int]


def damage(
    folder: Path, manifest: Manifest, names: Sequence[str] = (), *, paranoid: bool = False
) -> str | None:
    """Return what is wrong with what is used of a finished stage, None when nothing is seen.

    `names` are its products, for stages of before there were lists; `paranoid` reads every image.
    """
    return next(product_damages(folder, manifest, names, paranoid=paranoid), None)


def product_damages(
    folder: Path, manifest: Manifest, names: Sequence[str] = (), *, paranoid: bool = False
) -> Iterator[str]:
    """Yield what is wrong with what is used of a finished stage, a file each."""
    if manifest.contents is None:
        if manifest.seal is None:  # of before there were lists; others without have no products
            yield from _unlisted(folder, manifest, names, paranoid)
        return
    contents = contents_of(folder, manifest)
    if contents is None:
        yield f"{CONTENTS} is gone or not what was written"
        return
    files = used(contents)
    read = files.keys() if paranoid else _sampled(files, manifest.key)
    yield from damages(folder, files, read)


def used(contents: Contents) -> Files:
    """Return the files without which a stage does not count.

    Beside the products these are what tables are made of, but for trainings: their other files are
    curves, and no curve is worth a training.
    """
    if any(path.endswith(".pt") for path in contents.products):
        return contents.products
    beside = {path: one for path, one in contents.others.items() if path.endswith(TABLED)}
    return {**contents.products, **beside}


def _sampled(files: Iterable[str], key: str) -> set[str]:
    images = [path for path in files if path.lower().endswith(IMAGES)]
    drawn = random.Random(key).sample(images, min(SAMPLED, len(images)))
    return {*(set(files) - set(images)), *drawn}


def damages(folder: Path, files: Files, read: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with files of a stage; of those in `read` the bytes are compared."""
    root = f"{folder}{os.sep}"
    for path, (size, sha256) in files.items():
        try:
            about = os.stat(root + path)  # noqa: PTH116 (thousands, and a Path costs more)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            yield f"{path} is missing ({error.strerror})"
            continue
        if not S_ISREG(about.st_mode):
            yield f"{path} is no file any more"
        elif about.st_size != size:
            yield f"{path} has {about.st_size} bytes, not {size}"
        elif path in read and _digest_as_it_is(root + path) != sha256:
            yield f"{path} is not what was written (its digest differs)"


def intact(folder: Path, manifest: Manifest, names: Iterable[str]) -> bool:
    """Whether files of a stage are what was written, as far as they are listed and there."""
    contents = contents_of(folder, manifest)
    if contents is None:
        return manifest.contents is None
    listed = {**contents.products, **contents.others}
    there = {name: listed[name] for name in names if name in listed and (folder / name).exists()}
    return not any(damages(folder, there, there))


def contents_of(folder: Path, manifest: Manifest) -> Contents | None:
    """Return the list of a stage's files; None where there is none, or it was changed."""
    path = str(folder / CONTENTS)
    try:
        if manifest.contents is None or _digest_as_it_is(path) != manifest.contents:
            return None
        return _contents(path, manifest.contents)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=128)
def _contents(path: str, sha256: str) -> Contents:
    return read_contents(Path(path))


_digests: dict[str, tuple[State, str]] = {}
"""By path: what the file was when it was read, and its sha256."""


def _digest_as_it_is(path: str) -> str | None:
    """Return a file's sha256, read again only where the file has changed; None if it is none."""
    try:
        about = os.stat(path)  # noqa: PTH116
        state = (about.st_size, about.st_mtime_ns, about.st_ino)
        known = _digests.get(path)
        if known is None or known[0] != state:
            known = state, file_digest(Path(path))
            if settled(about.st_mtime_ns):
                _digests[path] = known
        return known[1]
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return None


def _unlisted(
    folder: Path, manifest: Manifest, names: Sequence[str], paranoid: bool
) -> Iterator[str]:
    """Yield what is seen to be wrong where only a digest of all products together is known."""
    missing = [name for name in names if not (folder / name).exists()]
    yield from (f"{name} is missing" for name in missing)
    if missing or not names:
        return
    paths = product_files(folder, names)
    empty = [path for path in paths if path.stat().st_size == 0]
    yield from (f"{path.relative_to(folder).as_posix()} is empty" for path in empty)
    if not empty and (paranoid or not any(map(is_image, paths))):
        found = [(p.relative_to(folder).as_posix(), _digest_as_it_is(str(p))) for p in paths]
        if digest(found) != manifest.digest:
            yield f"{', '.join(names)}: not what was written (the digest of all differs)"


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image."""
    return path.suffix.lower() in IMAGES
