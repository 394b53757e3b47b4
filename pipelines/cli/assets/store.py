"""The commands for the store: look after what is finished."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipelines.cli.options import StorePlace

if TYPE_CHECKING:
    from pipelines.store.verification import Looked


def verify(
    *,
    repair: Annotated[
        bool,
        Parameter(help="Set broken stages aside, so that the next run makes them again."),
    ] = False,
    store: StorePlace = None,
) -> int:
    """Read every file of every finished stage, and say what is broken; 1 if anything is."""
    from pipelines.execution.progress import Screen
    from pipelines.store.store import open_store
    from pipelines.store.verification import look
    from pipelines.store.verification import repair as set_aside

    opened, screen = open_store(store, existing=True), Screen()
    with screen.live(), screen.step(f"reading {opened.root}") as report:
        looked = look(opened, _products(), lambda done, total: report(done, total, "stages"))
    for one in looked:
        _print(one)
    for sentence in set_aside(opened, looked) if repair else ():
        print(sentence)
    broken = [one for one in looked if one.products or one.others]
    if old := sum(one.old for one in looked):
        print(f"{old} stages are of before files were listed: their products alone were checked")
    files, size = sum(one.files for one in looked), sum(one.bytes for one in looked)
    told = f"{len(looked)} stages, {files} listed files, {size / 1e6:.0f} MB"
    hint = "" if repair or not broken else "; --repair sets them aside"
    print(f"{told}: {len(broken)} broken{hint}")
    return 1 if broken else 0


def _print(one: Looked) -> None:
    """Print what is wrong with a stage, and what that means for those that were made of it."""
    for wrong, what in ((one.products, "broken"), (one.others, "damaged")):
        if wrong:
            print(f"{what:8}  {one.title}: {wrong[0]}{_more(len(wrong) - 1)}")
    if one.stay and one.dated:
        print(f"          still right: {', '.join(one.stay)}, finished before the file changed")
    elif one.stay:
        print(f"          {', '.join(one.stay)}: made of it, and kept; nothing says when it broke")
    if one.doubt:
        print(f"          in doubt: {', '.join(one.doubt)}, finished after the file changed")


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _products() -> Mapping[str, Sequence[str]]:
    """Return the names of the products of every kind of stage that there is."""
    from pipelines import tasks
    from pipelines.store.stage import Kind

    names = (f"{tasks.__name__}.{one.name}" for one in pkgutil.iter_modules(tasks.__path__))
    found = (value for name in names for value in vars(import_module(name)).values())
    return {one.name: one.products for one in found if isinstance(one, Kind)}
