"""What each command does, once its words are parsed."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fusion.errors import InputError

if TYPE_CHECKING:
    from pipelines.planning.plan import Plan
    from pipelines.specs.dataset import Task
    from pipelines.store.store import Store
# Every import below costs seconds somewhere; a command pays only for its own.

TASK_OF: dict[str, Task] = {"detect": "detection", "segment": "segmentation", "score": "scoring"}
"""The flows that do one task alone."""


def run_flow(options: argparse.Namespace) -> int:
    """Run a flow in this process and print its tables."""
    from pipelines.execution.environment import quiet_environment
    from pipelines.specs.loading import load_experiment, parse_overrides

    overrides = parse_overrides(options.set)
    # What is wrong with the experiment is told before Prefect starts.
    spec, task = load_experiment(options.experiment, overrides), TASK_OF.get(options.flow)
    if task is not None and getattr(spec, task) is None:
        raise InputError(f'The experiment "{spec.name}" has no {task}; give it one, or compare.')
    quiet_environment()
    from pipelines.cli.prefect_server import prefect_server
    from pipelines.execution.worker import StageFailed

    failed = ""
    with prefect_server():
        try:
            result = _flow(options.flow)(
                options.experiment, overrides, options.store, options.devices, options.jobs
            )
        except StageFailed as error:
            failed = str(error)
    if options.flow == "train-fusion":
        print(result if not failed else "")
    else:
        _print_tables(options, overrides)
    if failed:
        print(f"fuse-then: {failed}", file=sys.stderr)
    return 1 if failed else 0


def _flow(name: str) -> Callable[..., str]:
    from pipelines import flows

    known: dict[str, Callable[..., str]] = {
        "compare": flows.compare,
        "detect": flows.fuse_then_detect,
        "segment": flows.fuse_then_segment,
        "score": flows.fuse_then_score,
        "train-fusion": flows.train_fusion,
    }
    return known[name]


def _print_tables(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from pipelines.specs.dataset import TASKS
    from pipelines.specs.loading import words_of
    from pipelines.views.pictures import gather_pictures

    chosen = (TASK_OF[options.flow],) if options.flow in TASK_OF else TASKS
    plan, store = _plan(options, overrides, chosen)
    _show(plan, store, chosen, "text")
    print(f"\nPictures    {gather_pictures(plan, store)}")
    print(f"Report      {_report(plan, store)}")
    print(f"MLflow      {_where_tracked(store)}")
    print("Prefect     prefect server start")
    words = shlex.join(words_of(options.experiment, overrides))
    print(f"Again       fuse-then table {words} --format md (or csv, latex, json)")
    print("Your data   fuse-then data verify YOUR.yaml, then name it in an experiment (README)")


def _report(plan: Plan, store: Store) -> str:
    page = store.root / "reports" / f"{plan.experiment.name}.html"
    return str(page) if page.is_file() else f"fuse-then report {plan.experiment.name}"


def _where_tracked(store: Store) -> str:
    from pipelines.views.tracking.tracker import tracking_uri

    uri = tracking_uri(store)
    return f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite:") else uri


def _plan(
    options: argparse.Namespace,
    overrides: dict[str, Any],
    tasks: tuple[Task, ...] | None = None,
) -> tuple[Plan, Store]:
    from pipelines.execution.progress import Screen
    from pipelines.planning.planner import make_plan
    from pipelines.specs.dataset import TASKS
    from pipelines.specs.loading import load_experiment
    from pipelines.store.store import open_store

    spec = load_experiment(options.experiment, overrides)
    store = open_store(options.store)
    screen = Screen()
    with screen.live():
        plan = make_plan(spec, store, tasks or TASKS, screen.reporter())
    return plan, store


def plan(options: argparse.Namespace) -> int:
    """Print each stage of an experiment: cached, to run or blocked, and why."""
    from pipelines.specs.loading import parse_overrides

    made, store = _plan(options, parse_overrides(options.set))
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for cell in (*made.cells, *made.perturbed):
        for step in cell.steps:
            for stage in step.stages:
                if stage.title not in seen:
                    state, why = _state(stage, store)
                    counts[state] += 1
                    print(f"{state:8}  {stage.title:34}  {step.title}{why}")
                seen.add(stage.title)
    counts["blocked"] += len(made.blocked)
    for line in _blocked(made):
        print(f"{'blocked':8}  {line}")
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    return 2 if made.blocked else 0


def _state(stage: Any, store: Store) -> tuple[str, str]:
    manifest = store.manifest(stage)
    if manifest is not None:
        return "cached", f" ({manifest['seconds']:.0f} s on {manifest['started'][:10]})"
    log = store.partial(stage) / "log.txt"
    if store.directory(stage).exists():
        return "to run", " (an input has changed)"
    return "to run", f" (begun or failed before: {log})" if log.exists() else " (not made yet)"


def table(options: argparse.Namespace) -> int:
    """Print the tables of an experiment from whatever is finished."""
    from pipelines.specs.dataset import TASKS
    from pipelines.specs.loading import parse_overrides

    made, store = _plan(options, parse_overrides(options.set))
    _show(made, store, TASKS, options.format)
    for line in _blocked(made):
        print(f"blocked: {line}", file=sys.stderr)
    return 0


def _blocked(made: Plan) -> list[str]:
    """Return each reason once, with the first of the cells that it blocks."""
    titles: dict[str, list[str]] = {}
    for title, why in made.blocked:
        titles.setdefault(why, []).append(title)
    more = {
        why: f" (and {len(found) - 1} more)" if found[1:] else "" for why, found in titles.items()
    }
    return [f"{found[0]}{more[why]}: {why}" for why, found in titles.items()]


def _show(plan: Plan, store: Store, tasks: Any, form: Any) -> None:
    from pipelines.results.robustness import robustness_tables
    from pipelines.results.tables import experiment_tables
    from pipelines.views.formats import render

    tables = experiment_tables(plan, store, tasks)
    # Read on a terminal, a table of all kinds would be too wide.
    tables += robustness_tables(plan, store, by_kind=form == "text")
    if form == "json":
        print("[" + ",\n".join(render(table, form) for table in tables) + "]")
        return
    shown = (_plain_unless_terminal(render(table, form)).rstrip("\n") for table in tables)
    print("\n\n".join(shown))


def _plain_unless_terminal(text: str) -> str:
    if sys.stdout.isatty():
        return text
    for code in ("\033[1m", "\033[4m", "\033[0m"):
        text = text.replace(code, "")
    return text
