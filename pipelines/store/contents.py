"""What a finished stage holds: size and digest of every file, listed beside its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipelines.store.digests import digest
from pipelines.store.files import file_digest, product_files

CONTENTS = "contents.json"
UNLISTED = (CONTENTS, "manifest.json", "log.txt")
"""Libraries may still print when a stage is finished, so its log is not listed either."""
READ_AT_ONCE = 4

Files = Mapping[str, tuple[int, str]]
"""By path within the stage: bytes, and sha256."""


@dataclass(frozen=True)
class Contents:
    """The products, on whose bytes other stages depend, and the other files of a stage.

    The others do not count those that are shared with another stage by a link.
    """

    products: Files
    others: Files

    @property
    def digest(self) -> str:
        """Return what `pipelines.store.files.tree_digest` does of the products."""
        return digest([(path, sha256) for path, (_, sha256) in self.products.items()])


def list_contents(root: Path, names: Iterable[str]) -> Contents:
    """Read all files under `root`, of which those called or within `names` are the products."""
    products = product_files(root, names)
    known = {*products, *(root / name for name in UNLISTED)}
    found = (path for path in sorted(root.rglob("*")) if path not in known and path.is_file())
    others = [path for path in found if not (path.is_symlink() or path.stat().st_nlink > 1)]
    return Contents(_read(root, products), _read(root, others))


def _read(root: Path, paths: Sequence[Path]) -> Files:
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        digests = list(pool.map(file_digest, paths))
    return {
        path.relative_to(root).as_posix(): (path.stat().st_size, sha256)
        for path, sha256 in zip(paths, digests, strict=True)
    }


def write_contents(path: Path, contents: Contents) -> str:
    """Write the list, and return the sha256 of the file; nobody has synced it yet."""
    path.write_text(json.dumps(vars(contents), separators=(",", ":")), encoding="utf-8")
    return file_digest(path)


def read_contents(path: Path) -> Contents:
    """Read what `write_contents` wrote; raises OSError, ValueError, KeyError or TypeError."""
    stored = json.loads(path.read_bytes())
    products, others = (
        {name: (int(size), str(sha256)) for name, (size, sha256) in stored[key].items()}
        for key in ("products", "others")
    )
    return Contents(products, others)
