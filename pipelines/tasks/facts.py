"""Facts about files and code that a plan rests on: each is looked up once, whoever asks again.

A plan of sixty cells asks for the same few files and modules hundreds of times, and an answer
costs milliseconds. Facts live as long as one plan, so that the next one sees what has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fusion.errors import InputError
from fusion.method_card import MethodCard
from fusion.pairs import list_images
from fusion.registry import card, method_modules
from fusion.settings import Settings
from fusion.weights.published import choose_published, is_word, ready
from pipelines.datasets.dataset import Dataset
from pipelines.specs.method import MethodSpec
from pipelines.store.code import code_digest
from pipelines.store.digests import digest
from pipelines.store.files import FileDigests

MOST_FILES = 1000
"""Of a folder of weights; somebody may have named a disk."""


class Facts:
    """Digests of code, files, folders of images and parts of datasets, each computed once."""

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests
        self._known: dict[tuple[str, ...], Any] = {}

    def card(self, method: str) -> MethodCard:
        """Return what a method's file says about itself; InputError for an unknown method."""
        found: MethodCard = self._once(("card", method), lambda: card(method))
        return found

    def code(self, method: str) -> str:
        """Return the digest of a method's code; InputError for an unknown method."""

        def look() -> str:
            self.card(method)  # an unknown name is an error with suggestions
            return code_digest(method_modules()[method])

        return str(self._once(("code", method), look))

    def module(self, name: str) -> str:
        """Return the digest of a module's code and of what it imports from its own package."""
        return str(self._once(("module", name), lambda: code_digest(name)))

    def file(self, path: Path, key: str) -> str:
        """Return the digest of a file that a key names; InputError when it is missing."""
        if not path.is_file():
            raise InputError(f'The file {path} of "{key}" does not exist; check the path.')
        return str(self._once(("file", str(path)), lambda: self._digests.of([path])[path]))

    def weights(self, path: Path, key: str) -> str:
        """Return the digest of a weights file, or of all files of a folder of such."""
        if not path.is_dir():
            return self.file(path, key)

        def look() -> str:
            found = list(islice(path.rglob("*"), MOST_FILES + 1))
            files = sorted(p for p in found if p.is_file())
            if len(found) > MOST_FILES:
                raise InputError(
                    f'{path} of "{key}" holds more than {MOST_FILES:,} files; name the folder '
                    f"that holds the weights alone."
                )
            known = self._digests.of(files)
            return digest([(p.relative_to(path).as_posix(), known[p]) for p in files])

        return str(self._once(("weights", str(path)), look))

    def folder(self, folder: Path) -> dict[str, str]:
        """Return the digests of the images of a folder by name; InputError when it is missing."""

        def look() -> dict[str, str]:
            images = list_images(folder)
            known = self._digests.of(images.values())
            return {name: known[path] for name, path in images.items()}

        found: dict[str, str] = self._once(("folder", str(folder)), look)
        return found

    def image_folders(self, method: str, params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Return the digests of the images in each folder that a method's parameters name.

        Raises InputError for an unknown method, and for a folder that is missing.
        """
        keys = self.card(method).image_folders
        return {key: self.folder(Path(params[key])) for key in keys if key in params}

    def splits(self, dataset: Dataset, key: str) -> dict[str, str]:
        """Return the digests of the pairs to train and to validate on; `key` names the dataset."""

        def look() -> dict[str, str]:
            chosen = {name: dataset.splits.get(name, ()) for name in ("train", "val")}
            return {n: dataset.pairs_digest(self._digests, names) for n, names in chosen.items()}

        found: dict[str, str] = self._once(("splits", key), look)
        return found

    def _once(self, key: tuple[str, ...], look: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = look()
        return self._known[key]


HASHED_APART = (
    *("dataset", "initial_checkpoint", "encoder_checkpoint", "seed", "engine"),
    *("pretrain", "pretrained"),
)
"""Of files the bytes count and not where they lie, of a seed what is derived, of a first training
its stage; `engine` tests."""
NOT_HASHED = {
    "by_part": "asks for other tables of the same scores",
    "grid": "each of its points is a section of its own",
    "checkpoint_minutes": "an interrupted training ends with the weights of an uninterrupted one",
    "cache": "an image is the same, decoded now or before",
    "loader_processes": "on a GPU lots belong to images, whichever process reads them",
}
"""Settings that cannot change a result, with the reason; all others count for its identity."""


def hashed(settings: Settings) -> dict[str, Any]:
    """Return whatever counts for the identity of a result made with `settings`, as plain values."""
    return settings.model_dump(mode="json", exclude={*HASHED_APART, *NOT_HASHED})


def not_hashed(settings: Settings) -> dict[str, Any]:
    """Return the other settings, for a stage's `local`, which does not count for its identity."""
    known = set(NOT_HASHED) - {"by_part", "grid"}  # which no training asks for
    return {"settings": settings.model_dump(mode="json", include=known)}


def local_of(dataset: Dataset) -> dict[str, Any]:
    """Return where a dataset lies, which does not count for its identity."""
    return {"dataset": dataset.spec.model_dump(mode="json")}


@dataclass(frozen=True)
class Start:
    """The weights that a training starts from: their digest, and where they lie."""

    digest: str
    local: Mapping[str, str]


def start_of(path: Path | None, key: str, known: Facts) -> Start | None:
    """Return what a training starts from; `key` names the setting, its last word the file."""
    return Start(known.file(path, key), {key.split(".")[-1]: str(path)}) if path else None


def weights_digest(method: MethodSpec, given: Path, known: Facts) -> str:
    """Return the digest of a method's weights: a file, a folder of files, or published ones.

    Raises InputError when they are missing, or when published ones have not been fetched.
    """
    path = given
    if is_word(given):
        path = ready(choose_published(method.name, str(given), method.params.get("preset")))
    return known.weights(path, f"{method.row}.checkpoint")
