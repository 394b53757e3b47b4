"""The command that shows in MLflow what a store holds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fusion.errors import InputError

if TYPE_CHECKING:
    from pipelines.execution.progress import Screen
    from pipelines.planning.plan import Plan
    from pipelines.store.store import Store
# As in the other commands: each import below is paid for by its own command only.


def sync(options: argparse.Namespace) -> int:
    """Write experiments of a store to MLflow, whatever is missing there; all is made from files."""
    from pipelines.execution.environment import quiet_environment
    from pipelines.execution.progress import Screen
    from pipelines.store.store import open_store

    quiet_environment()
    from pipelines.views.tracking.tracker import Tracker, tracking_uri

    store, screen = open_store(options.store), Screen()
    uri = options.uri or tracking_uri(store)
    lines = []
    with screen.live():
        for plan in _chosen(options.experiments, store, screen):
            with screen.step(plan.experiment.name) as report:
                tracker = Tracker(plan, store, uri)
                found = tracker.sync(report)
            missing = len(plan.cells) - found["logged"] - found["known"]
            lines.append(
                f"{plan.experiment.name:16}  {found['logged']} runs written, {found['known']} "
                f"there already, {missing} cells not finished, {found['models']} new models"
            )
    print("\n".join(lines))
    print(f"MLflow      {f'mlflow ui --backend-store-uri {uri}' if 'sqlite:' in uri else uri}")
    return 0


def _chosen(names: list[str], store: Store, screen: Screen) -> list[Plan]:
    """Return what the store remembers, all or by name; a name it does not know is planned."""
    from pipelines.planning.memory import recall

    known = recall(store)
    if not names:
        if not known:
            raise InputError(
                f"The store {store.root} remembers no experiment; name one, as in fuse-then "
                f"mlflow sync demo, or give another store with --store."
            )
        return known
    chosen: list[Plan] = []
    for name in names:
        same = [plan for plan in known if plan.experiment.name == name]
        chosen += same or [_planned(name, store, screen)]
    return chosen


def _planned(name: str, store: Store, screen: Screen) -> Plan:
    from pipelines.planning.planner import make_plan
    from pipelines.specs.dataset import TASKS
    from pipelines.specs.loading import load_experiment

    return make_plan(load_experiment(name), store, TASKS, screen.reporter())
