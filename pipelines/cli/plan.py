"""The commands that say what an experiment will do, and what it has found so far."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pipelines.cli.options import Experiment, ExperimentOptions, WorkOptions

if TYPE_CHECKING:
    from pipelines.planning.plan import Plan
    from pipelines.results.finished import Results
    from pipelines.results.values import Table
    from pipelines.store.stage import Stage
    from pipelines.store.store import Store

AS_WRITTEN = ExperimentOptions()
AS_WRITTEN_WORK = WorkOptions()
Format = Literal["text", "md", "csv", "latex", "json"]
"""As `pipelines.views.formats` has them, which a help page need not wait for."""


def plan(
    experiment: Experiment,
    /,
    *,
    calibrate: Annotated[
        bool,
        Parameter(
            help="First measure the networks' speed here, for at most half a minute, for the "
            "cost of what was never made here; the result is kept in the store."
        ),
    ] = False,
    options: WorkOptions = AS_WRITTEN_WORK,
) -> int:
    """Print each stage of an experiment: cached, to run or blocked, and why, and what it costs.

    Returns 2 if a stage is blocked.
    """
    from pipelines.planning.lacks import UNSET, assumed_data, lacks_of

    with assumed_data() as unset:
        made, store = planned(experiment, options)
    stages = {
        stage.title: (stage, step.title)
        for cell in (*made.cells, *made.perturbed)
        for step in cell.steps
        for stage in step.stages
    }
    counts: Counter[str] = Counter()
    for title, (stage, step) in stages.items():
        state, why = _state(stage, store)
        counts[state] += 1
        print(f"{state:8}  {title:34}  {step}{why}")
    counts["blocked"] += len(made.blocked)
    for line in _blocked(made):
        print(f"{'blocked':8}  {line}")
    if made.blocked:
        print(*lacks_of(made.experiment).lines(shlex.join(made.experiment.words)), sep="\n")
        print(*([UNSET] if unset else []), end="\n" if unset else "")
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    print("\n".join(["", *_cost(made, store, options, calibrate)]))
    return 2 if made.blocked else 0


def _cost(made: Plan, store: Store, options: WorkOptions, calibrate: bool) -> list[str]:
    from pipelines.execution.devices import slots
    from pipelines.execution.progress import Screen
    from pipelines.planning.cost.summary import cost_lines

    screen = Screen()
    with screen.live():
        places = slots(options.devices, options.jobs)
        return cost_lines(made, store, places, screen.reporter(), calibrate)


def _state(stage: Stage, store: Store) -> tuple[str, str]:
    from pipelines.results.finished import read_stage

    finished = read_stage(stage, store)
    if finished is not None:
        manifest = finished.manifest
        return "cached", f" ({manifest.seconds:.0f} s on {manifest.started[:10]})"
    log = store.partial(stage) / "log.txt"
    if store.directory(stage).exists():
        return "to run", " (an input has changed)"
    return "to run", f" (begun or failed before: {log})" if log.exists() else " (not made yet)"


def _printed(_: object) -> list[str]:
    from pipelines.results.protocol.printed import printed_names

    return printed_names()


def table(
    experiment: Experiment,
    /,
    *,
    form: Annotated[Format, Parameter(name="--format", help="How to write them.")] = "text",
    options: ExperimentOptions = AS_WRITTEN,
) -> int:
    """Print the tables of an experiment from whatever is finished."""
    from pipelines.results.rounds.reading import results_so_far

    made, store = planned(experiment, options)
    print_tables(finished_tables(results_so_far(made, store), form), form)
    for line in _blocked(made):
        print(f"blocked: {line}", file=sys.stderr)
    return 0


def paper(
    table: Annotated[
        str, Parameter(help="One of the paper's tables: table1 to table5.", completer=_printed)
    ],
    /,
    *,
    form: Annotated[Format, Parameter(name="--format", help="How to write it.")] = "text",
) -> int:
    """Print one of the paper's tables as the paper printed it."""
    from pipelines.results.protocol.printed import printed_tables

    print_tables(printed_tables(table), form)
    return 0


def planned(experiment: str, options: ExperimentOptions) -> tuple[Plan, Store]:
    """Return the plan of an experiment, and the store of its stages."""
    from pipelines.execution.progress import Screen
    from pipelines.planning.planner import make_plan
    from pipelines.specs.loading import load_experiment
    from pipelines.store.store import open_store
    from pipelines.tasks.task import tasks

    spec = load_experiment(experiment, options.overrides)
    store, screen = open_store(options.store), Screen()
    with screen.live():
        return make_plan(spec, store, tasks(), screen.reporter()), store


def finished_tables(results: Results, form: Format) -> Sequence[Table]:
    """Return all tables as they stand, those of disturbed pairs last."""
    from pipelines.results.tables import experiment_evidence

    return [*(one.table for one in experiment_evidence(results)), *disturbed(results, form)]


def disturbed(results: Results, form: Format) -> list[Table]:
    """Return the tables of disturbed pairs, as wide as suits a form."""
    from pipelines.results.undersampled import disturbed_tables

    # Read on a terminal, a table of all kinds of disturbance would be too wide.
    return disturbed_tables(results, by_kind=form == "text")


def print_tables(tables: Sequence[Table], form: Format) -> None:
    """Print tables, an empty line between two; as JSON they are one list."""
    from pipelines.views.formats import render

    if form == "json":
        print("[" + ",\n".join(render(table, form) for table in tables) + "]")
    else:
        print("\n\n".join(render(table, form).rstrip("\n") for table in tables))


def _blocked(made: Plan) -> list[str]:
    """Return each reason once, with the first of the cells that it blocks."""
    titles: dict[str, list[str]] = {}
    for title, why in made.blocked:
        titles.setdefault(why, []).append(title)
    more = {
        why: f" (and {len(cells) - 1} more)" if cells[1:] else "" for why, cells in titles.items()
    }
    return [f"{cells[0]}{more[why]}: {why}" for why, cells in titles.items()]
