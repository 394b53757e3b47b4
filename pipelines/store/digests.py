"""What identifies a thing: digests of specs, files and code, and seeds derived from names."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from fusion.errors import InputError

CONTRACT = frozenset({"fusion", "fusion.errors", "fusion.pairs", "fusion.method"})
"""What every method imports; a change there that changes results raises a stage's version."""


def digest(value: Any) -> str:
    """Return the sha256 of `value` as canonical JSON: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def derive_seed(*names: str | int) -> int:
    """Return a seed in [0, 2^31) that depends on `names` alone, never on an order of listing."""
    return int(digest(list(names))[:8], 16) >> 1


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class FileDigests:
    """sha256 of files, remembered by path, size and time of change in one SQLite file.

    The time is the inode's, which no tool sets back: a copy that keeps the modification time of
    what it replaces is still seen.
    """

    def __init__(self, database: Path) -> None:
        database.parent.mkdir(parents=True, exist_ok=True)
        self._database = database
        with self._connect() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS digests "
                "(path TEXT PRIMARY KEY, size INTEGER, changed_ns INTEGER, sha256 TEXT)"
            )

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the digest of each file; only new and changed files are read.

        Raises InputError for a file that cannot be opened, such as a broken link.
        """
        states = {path: _state(path) for path in paths}
        with self._connect() as connection:
            rows = connection.execute("SELECT path, size, changed_ns, sha256 FROM digests")
            known = {row[0]: row[1:] for row in rows}
        result = {
            path: known[str(path)][2]
            for path, state in states.items()
            if known.get(str(path), ())[:2] == state
        }
        missing = [path for path in states if path not in result]
        if not missing:
            return result
        with ThreadPoolExecutor(max_workers=4) as pool:
            fresh = dict(zip(missing, pool.map(_readable_digest, missing), strict=True))
        with self._connect() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)",
                [(str(path), *states[path], sha) for path, sha in fresh.items()],
            )
        return {**result, **fresh}

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._database, timeout=60, isolation_level="IMMEDIATE")
        with contextlib.closing(connection), connection:
            yield connection


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the file.") from error
    return state.st_size, state.st_ctime_ns


def _readable_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the file.") from error


def tree_digest(root: Path, names: Iterable[str]) -> str:
    """Return one digest for files and folders `names` under `root`, by relative path and bytes."""
    files: list[Path] = []
    for name in names:
        place = root / name
        files += sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    return digest([(path.relative_to(root).as_posix(), file_digest(path)) for path in files])


def code_digest(module: str) -> str:
    """Return a digest of a module's code and of what it imports from its own package.

    Comments, docstrings and formatting do not count, so that only a change that can change a
    result makes cached results stale. Nothing is imported.
    """
    package = module.split(".")[0]
    seen: dict[str, str] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        spec = _locate(name)
        if name in seen or spec is None or not (spec.origin or "").endswith(".py"):
            continue
        tree = _without_docstrings(ast.parse(Path(str(spec.origin)).read_text(encoding="utf-8")))
        seen[name] = ast.dump(tree)
        # Relative imports of a package's __init__ start at the package itself.
        here = name.split(".") if spec.submodule_search_locations else name.split(".")[:-1]
        near = {found for found in _imports(tree, here) if found.split(".")[0] == package}
        todo += sorted(near - CONTRACT)
    return digest(seen)


def _locate(module: str) -> ModuleSpec | None:
    """Find a module without importing its parents, which ``find_spec("a.b")`` would."""
    first, *rest = module.split(".")
    spec = importlib.util.find_spec(first)
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _imports(tree: ast.Module, package: list[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            name = ".".join(part for part in (base, node.module or "") if part)
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    return found


def names_digest(files: Mapping[str, str]) -> str:
    """Return one digest for ``{name: sha256}``, whatever the order."""
    return digest(sorted(files.items()))
