"""The published checkpoints: where each comes from, how to know it, and where it lies here.

Nothing is downloaded by anything in this module; `fusion.weights.fetch` does so when asked to.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fusion.errors import InputError, did_you_mean
from fusion.weights import catalogue
from fusion.weights.catalogue import Published, WeightFile

WORD = "published"
"""What `load_method` and an experiment's YAML take for a checkpoint instead of a path:
"published", or "published:VARIANT" where a method has several."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Digests:
    """What identifies the bytes of a file: their number, sha256, and git's name for them."""

    bytes: int
    sha256: str
    git_blob: str


def weights_home() -> Path:
    """Return ``$FUSE_THEN_WEIGHTS``, or fuse-then's own folder in the user's cache."""
    given = os.environ.get("FUSE_THEN_WEIGHTS")
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "fuse-then" / "weights"


def find_published(name: str) -> Published:
    """Return what is published as `name`, METHOD or METHOD/VARIANT.

    Raises InputError with the known names for any other, and when METHOD has several variants.
    """
    for entry in catalogue.published():
        if entry.name == name:
            return entry
    variants = [entry.name for entry in catalogue.published() if entry.method == name]
    if variants:
        raise InputError(f'"{name}" has several checkpoints; name one of {", ".join(variants)}.')
    hint = did_you_mean(name, [entry.name for entry in catalogue.published()])
    raise InputError(f'There is no published checkpoint "{name}".{hint}')


def choose_published(method: str, word: str, preset: str | None = None) -> Published:
    """Return the checkpoint that `word` means for a method and its preset.

    "published" alone means the preset's own checkpoint, else the method's first. Raises InputError
    when the method has none, or not that variant.
    """
    known = [entry for entry in catalogue.published() if entry.method == method]
    if not known:
        raise InputError(
            f'No published checkpoint of the method "{method}" is known; give the path of a file.'
        )
    variant = word.partition(":")[2]
    if not variant:
        own = [entry for entry in known if preset is not None and entry.preset == preset]
        return (own or known)[0]
    for entry in known:
        if entry.variant == variant:
            return entry
    hint = did_you_mean(variant, [entry.variant for entry in known if entry.variant])
    raise InputError(f'"{method}" has no published checkpoint "{variant}".{hint}')


def is_word(checkpoint: object) -> bool:
    """Tell whether a checkpoint is named by the word "published" instead of a path."""
    return str(checkpoint).partition(":")[0] == WORD


def place_of(entry: Published) -> Path:
    """Return where the checkpoint lies or would lie: a file, or the folder of its files."""
    folder = weights_home() / entry.method
    return folder / entry.files[0].name if len(entry.files) == 1 else folder


def files_of(entry: Published) -> list[tuple[WeightFile, Path]]:
    """Return each file of the checkpoint with its place."""
    return [(file, weights_home() / entry.method / file.name) for file in entry.files]


def ready(entry: Published) -> Path:
    """Return the place of a checkpoint whose files are all there and are what was published.

    Raises InputError that names the command to get it, or the file that is another one.
    """
    for file, path in files_of(entry):
        if not path.is_file():
            raise InputError(
                f'The published checkpoint "{entry.name}" is not at {path}; get it with '
                f"`fuse-then weights fetch {entry.name}`."
            )
        wrong = difference(file, digests_of(path))
        if wrong:
            raise InputError(
                f'{path} is not the published "{entry.name}": {wrong}; delete it and run '
                f"`fuse-then weights fetch {entry.name}`."
            )
    return place_of(entry)


def difference(file: WeightFile, found: Digests) -> str:
    """Return how bytes differ from the published file's, or "" when nothing known differs."""
    for key, unit in (("bytes", "bytes"), ("sha256", "as sha256"), ("git_blob", "as git blob")):
        want, have = getattr(file, key), getattr(found, key)
        if want is not None and want != have:
            return f"it has {have} {unit} instead of {want}"
    return ""


def digests_of(path: Path) -> Digests:
    """Return size and digests of a file; InputError when it cannot be opened."""
    try:
        size = path.stat().st_size
        sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                sha256.update(block)
                blob.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path.") from error
    return Digests(size, sha256.hexdigest(), blob.hexdigest())


def recognise(path: Path) -> tuple[Published, WeightFile]:
    """Return the published file whose digest a file of any name has.

    Raises InputError when it is none of them, saying in what it differs from one of its name.
    """
    found = digests_of(path)
    files = [(entry, file) for entry in catalogue.published() for file in entry.files]
    for entry, file in files:
        if file.identified and not difference(file, found):
            return entry, file
    for entry, file in files:
        if file.name == path.name:
            wrong = difference(file, found) or "no digest of it is known here"
            raise InputError(
                f'{path} cannot be confirmed as "{entry.name}": {wrong}; compare it with '
                f"{file.source}."
            )
    raise InputError(
        f"{path} (sha256 {found.sha256}) is none of the published checkpoints known here; see "
        f"`fuse-then weights list`."
    )
