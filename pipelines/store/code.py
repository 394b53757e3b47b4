"""A digest of what code does: the same under every Python, whatever its modules are called.

Syntax trees are written out here, because neither ``ast.dump`` nor ``ast.unparse`` writes the same
text under every version of Python.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.store.digests import digest

VERSION = 2
"""Raised when the same code is to get another digest, because it is written out differently."""
CONTRACT = frozenset({"fusion", "fusion.errors", "fusion.pairs", "fusion.method"})
"""What every method imports; a change there that changes results raises a stage's version."""
SILENT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of syntax nodes that change nothing, or that follow from the others."""


def code_digest(module: str) -> str:
    """Return a digest of a module's code and of what it imports from its own package.

    Comments, docstrings, formatting, the order of imports and the names of the package's modules
    do not count, so that only a change that can change a result makes cached results stale: a
    module is known by its place in the walk along the imports. Nothing is imported.
    """
    return digest([VERSION, *_Walk(module).texts()])


class _Imported(NamedTuple):
    """What one import binds: `name` out of `module`, or the module itself where `name` is ""."""

    module: str
    name: str
    bound: str


Imports = Mapping[Any, list[list[str]]]
"""How each import statement is written out: [place of the module, name, bound name]."""


class _Walk:
    """The modules of one package that a module reaches by imports, nearest first."""

    def __init__(self, module: str) -> None:
        self._package = module.split(".")[0]
        self._modules = [module]
        self._specs: dict[str, ModuleSpec | None] = {}

    def texts(self) -> list[Any]:
        """Return all modules written out, in the order in which the walk reaches them."""
        return [self._text(module) for module in self._modules]  # which grows meanwhile

    def _text(self, module: str) -> Any:
        spec = self._locate(module)
        if spec is None or not str(spec.origin).endswith(".py"):
            return None
        # Relative imports of a package's __init__ start at the package itself.
        inside = spec.submodule_search_locations is not None
        package = module.split(".") if inside else module.split(".")[:-1]
        tree = ast.parse(Path(str(spec.origin)).read_text(encoding="utf-8"))
        found = {
            node: [self._resolved(item) for item in _imported(node, package)]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        # By the names that the code uses: those of modules, and how imports are sorted, may change.
        for item in sorted((i for items in found.values() for i in items), key=lambda i: i[1:]):
            self._reach(item.module)
        places = {node: [[self._place(i.module), *i[1:]] for i in found[node]] for node in found}
        return _written(tree, places)

    def _resolved(self, item: _Imported) -> _Imported:
        """Return a module taken out of a package as the import of that module."""
        inner = f"{item.module}.{item.name}"
        return _Imported(inner, "", item.bound) if item.name and self._ours(inner) else item

    def _reach(self, module: str) -> None:
        if module not in self._modules and module not in CONTRACT and self._ours(module):
            self._modules.append(module)

    def _place(self, module: str) -> str:
        if module in CONTRACT:
            return "contract"
        return str(self._modules.index(module)) if module in self._modules else module

    def _ours(self, module: str) -> bool:
        """Whether this is a module of the walk's package, and not a name within one."""
        return module.split(".")[0] == self._package and self._locate(module) is not None

    def _locate(self, module: str) -> ModuleSpec | None:
        """Find a module without importing its parents, which ``find_spec("a.b")`` would."""
        if module not in self._specs:
            parent, _, _ = module.rpartition(".")
            if not parent:
                self._specs[module] = importlib.util.find_spec(module)
            else:
                above = self._locate(parent)
                places = above.submodule_search_locations if above else None
                self._specs[module] = PathFinder.find_spec(module, places) if places else None
        return self._specs[module]


def _imported(node: ast.Import | ast.ImportFrom, package: Sequence[str]) -> list[_Imported]:
    """Return what an import statement in a module of `package` binds."""
    if isinstance(node, ast.Import):
        return [_Imported(alias.name, "", alias.asname or "") for alias in node.names]
    base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
    module = ".".join(part for part in (base, node.module or "") if part)
    return [_Imported(module, alias.name, alias.asname or alias.name) for alias in node.names]


def _written(value: Any, imports: Imports) -> Any:
    """Return a syntax tree as lists and text: types and fields, without those that are empty."""
    if isinstance(value, list):
        return _statements(value, imports)
    if isinstance(value, ast.Constant):
        return ["Constant", ascii(value.value)]
    if not isinstance(value, ast.AST):
        return value if value is None else ascii(value)
    fields = {key: part for key, part in ast.iter_fields(value) if key not in SILENT}
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = value.body[1:] if ast.get_docstring(value) is not None else value.body
    written = {key: _written(part, imports) for key, part in fields.items()}
    kept = [[key, part] for key, part in written.items() if part not in (None, [])]
    return [type(value).__name__, *kept]


def _statements(values: Sequence[Any], imports: Imports) -> list[Any]:
    """Return the parts of a list written out, neighbouring imports sorted."""
    written: list[Any] = []
    together: list[list[str]] = []
    for value in values:
        if value in imports:
            together += imports[value]
            continue
        written += [["Import", *item] for item in sorted(together)]
        together = []
        written.append(_written(value, imports))
    return written + [["Import", *item] for item in sorted(together)]
