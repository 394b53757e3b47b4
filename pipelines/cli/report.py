"""The command that writes an experiment's report: one HTML page, whatever is finished."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.errors import InputError

if TYPE_CHECKING:
    from pipelines.store.store import Store

# Every import below costs seconds somewhere; a command pays only for its own.


def report(options: argparse.Namespace) -> int:
    """Write the page and say where it lies."""
    from pipelines.execution.progress import Screen
    from pipelines.planning.planner import make_plan
    from pipelines.specs.dataset import TASKS
    from pipelines.specs.loading import load_experiment, parse_overrides
    from pipelines.store.store import open_store
    from pipelines.views.report.page import write_report

    spec = load_experiment(options.experiment, parse_overrides(options.set))
    store = open_store(options.store)
    path = page_path(options.out, store, spec.name)  # told before the work, not after it
    screen = Screen()
    with screen.live():
        plan = make_plan(spec, store, TASKS, screen.reporter())
        write_report(plan, store, _words(options), screen, path)
    print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB; open it in a browser, or print it)")
    return 0


def page_path(given: str | None, store: Store, name: str) -> Path:
    """Return where the page goes: FILE, or NAME.html in the store; InputError for no such place."""
    if given is None:
        folder = store.root / "reports"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.html"
    path = Path(given).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        why = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise InputError(f"--out {path} {why}; give a file in a folder that there is.")
    return path


def _words(options: argparse.Namespace) -> list[str]:
    """Return how the experiment is named on a command line."""
    return [options.experiment, *(part for text in options.set for part in ("--set", text))]
