"""Reads who imports whom in the packages, and says which rule of the house an import breaks."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PACKAGES = ("pipelines", "detection", "segmentation", "fusion", "configs")
BY_THEMSELVES = ("__init__", "__main__", "README")
"""What every folder may have; they are no entries of it."""


@dataclass(frozen=True)
class Import:
    """One import of `name` by the module `by`, wherever in its `file` it stands."""

    by: str
    name: str
    place: str
    """``file:line``, relative to the repository."""
    by_text: bool = False
    """Whether text names the module: for import_module, or as a program for ``python -m``."""

    def __str__(self) -> str:
        return f"{self.place}: {self.by} imports {self.name}"


@dataclass(frozen=True)
class House:
    """All modules of the packages, and what they import from each other and from elsewhere."""

    root: Path
    modules: frozenset[str]
    own: tuple[Import, ...]
    foreign: tuple[Import, ...]


def read_house(root: Path) -> House:
    """Read every module under `root`; imports in functions and for type checkers count as well."""
    files = {
        _module(path.relative_to(root)): path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
    found = [one for module, path in files.items() for one in _imports(module, path, root, files)]
    own = tuple(one for one in found if one.name in files)
    return House(root, frozenset(files), own, tuple(one for one in found if one.name not in files))


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(module: str, path: Path, root: Path, known: Collection[str]) -> Iterator[Import]:
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in _names(node, package, known):
            place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            yield Import(module, name, place, isinstance(node, ast.Constant))


def _names(node: ast.AST, package: str, known: Collection[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known else base
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
        name = node.value.partition(":")[0]
        yield from [name] if name in known else []


def arrows_up(
    house: House,
    floors: Sequence[Sequence[str]],
    excepted: Collection[tuple[str, str]] = (),
    why: str = "",
) -> list[str]:
    """Return the imports between rooms that do not point down; rooms of a floor stand apart.

    A room is a dotted name with all that lies in it. `excepted` are pairs of modules.
    """
    height = {room: -n for n, floor in enumerate(floors) for room in floor}
    broken = []
    for one in house.own:
        here, there = _room(one.by, height), _room(one.name, height)
        if here is None or there is None or here == there or (one.by, one.name) in excepted:
            continue
        if height[there] >= height[here]:
            broken.append(f"{one}: {here} may not know {there}. {why}")
    return broken


def _room(module: str, rooms: Collection[str]) -> str | None:
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in rooms), None)


def homeless(house: House, floors: Sequence[Sequence[str]], package: str) -> list[str]:
    """Return the modules of a package that lie in none of its rooms."""
    rooms = {room for floor in floors for room in floor}
    inside = sorted(m for m in house.modules if m.startswith(f"{package}."))
    return [
        f"{module} is in no room of {package}: put it into one, or add the room to the table."
        for module in inside
        if _room(module, rooms) is None
    ]


def circles(house: House, why: str = "") -> list[str]:
    """Return one circle for each folder whose entries, modules or folders, need each other.

    Text counts for nothing here: what is named by it need not be there to be read.
    """
    folders = {m.rpartition(".")[0] for m in house.modules if "." in m}
    parents = {".".join(f.split(".")[:n]) for f in folders for n in range(1, f.count(".") + 2)}
    broken = []
    for folder in sorted(parents):
        arrows: dict[str, dict[str, Import]] = {}
        for one in house.own:
            here, there = _entry(one.by, folder), _entry(one.name, folder)
            if here and there and here != there and not one.by_text:
                arrows.setdefault(here, {}).setdefault(there, one)
        if circle := _circle(arrows):
            steps = "; ".join(str(step) for step in circle)
            broken.append(f"In {folder} there is a circle: {steps}. {why}")
    return broken


def _entry(module: str, folder: str) -> str:
    return (
        module.removeprefix(f"{folder}.").split(".")[0] if module.startswith(f"{folder}.") else ""
    )


def _circle(arrows: Mapping[str, Mapping[str, Import]]) -> list[Import]:
    done: set[str] = set()

    def walk(entry: str, path: list[str]) -> list[Import]:
        if entry in path:
            round_trip = [*path[path.index(entry) :], entry]
            return [arrows[a][b] for a, b in pairwise(round_trip)]
        if entry in done:
            return []
        for other in arrows.get(entry, {}):
            if found := walk(other, [*path, entry]):
                return found
        done.add(entry)
        return []

    return next((found for entry in arrows if (found := walk(entry, []))), [])


def strangers(house: House, homes: Mapping[str, Sequence[str]], why: str = "") -> list[str]:
    """Return the imports of a framework outside its modules or folders; `homes` names them."""
    broken = []
    for one in house.foreign:
        framework = one.name.split(".")[0]
        if framework in homes and _room(one.by, homes[framework]) is None:
            where = " and ".join(homes[framework]) or "nowhere"
            broken.append(f"{one}: {framework} belongs to {where}. {why}")
    return broken


def crowded(
    root: Path, folder: str, limit: int, excepted: Collection[str] = (), why: str = ""
) -> list[str]:
    """Return the folders, with those inside, that hold more than `limit` entries."""
    places = [path for path in (root / folder).rglob("*") if path.is_dir()]
    broken = []
    for path in sorted([root / folder, *places]):
        name = path.relative_to(root).as_posix()
        number = sum(1 for _ in entries(path))
        if number > limit and name not in excepted and path.name != "__pycache__":
            broken.append(f"{name}/ holds {number} entries; at most {limit} are allowed. {why}")
    return broken


def entries(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds, but for what every folder has."""
    return (
        path
        for path in folder.iterdir()
        if path.stem not in BY_THEMSELVES and not path.name.startswith((".", "__pycache__"))
    )
