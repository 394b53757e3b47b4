"""The commands that say what an experiment will do, and what it has found so far."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from fusion.errors import InputError, did_you_mean
from pipelines.cli.options import (
    Experiment,
    ExperimentOptions,
    Overwrite,
    WorkOptions,
    check_new,
)

if TYPE_CHECKING:
    from pipelines.planning.plan import Plan
    from pipelines.results.conclusions.designs import Basis, Design, Stated
    from pipelines.results.finished import Results
    from pipelines.results.values import Table
    from pipelines.specs.experiment import ExperimentSpec
    from pipelines.store.stage import Stage
    from pipelines.store.store import Store
    from pipelines.tasks.task import Task

AS_WRITTEN = ExperimentOptions()
AS_WRITTEN_WORK = WorkOptions()
Format = Literal["text", "md", "csv", "latex", "booktabs", "json"]
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
    from pipelines.results.rounds.reading import results_so_far

    with assumed_data() as unset:
        made, store = planned(experiment, options)
    results = results_so_far(made, store)
    made = results.plan
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
    print("\n".join(["", *_cost(made, store, options, calibrate), *_races(results, options)]))
    return 2 if made.blocked else 0


def _races(results: Results, options: WorkOptions) -> list[str]:
    """Return how races stand, what of them depends on rounds to come, and what it costs at most."""
    from pipelines.results.rounds.running import standing

    open_still = [name for name, race in results.races.items() if not race.ended]
    lines = [f"Race of {name}: {standing(race)}." for name, race in results.races.items()]
    later = [cell for cell in results.later if cell.task.name in open_still]
    later = [c for c in later if c.method.row in results.races[c.task.name].alive]
    if later:
        seeds = sorted({cell.seed for cell in later})
        lines.append(
            f"All above is certain. It depends on the rounds which of {len(later)} further cells "
            f"are made (seeds {seeds[0]} to {seeds[-1]}); if no method stops:"
        )
        every = replace(results.plan, cells=(*results.plan.cells, *later))
        costs = _cost(every, results.store, options, calibrate=False)
        lines += [f"  {line}" for line in costs if line.startswith("In all")]
    return ["", *lines] if lines else []


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
    if (why := store.broken(stage)) is not None:
        return "to run", f" (broken: {why})"
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
    form: Annotated[
        Format,
        Parameter(
            name="--format",
            help="How to write them; booktabs is LaTeX with caption, label and rules.",
        ),
    ] = "text",
    task: Annotated[
        str | None, Parameter(metavar="NAME", help="One table of several, such as detection.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        Parameter(metavar="NAME...", consume_multiple=True, help="Which columns, in this order."),
    ] = None,
    intervals: Annotated[bool, Parameter(help="Print the lines of 95 % intervals.")] = True,
    out: Annotated[
        Path | None, Parameter(metavar="FILE", help="Write them there (default: print them).")
    ] = None,
    overwrite: Overwrite = False,
    options: ExperimentOptions = AS_WRITTEN,
) -> int:
    """Print the tables of an experiment from whatever is finished."""
    from pipelines.results.rounds.reading import results_so_far

    check_new(overwrite, out)
    made, store = planned(experiment, options, existing=True)
    found = _named(finished_tables(results_so_far(made, store), form), task)
    if form == "csv" and len(found) > 1:
        raise InputError(
            f"A CSV file holds one table, and here are {len(found)}; choose one with --task "
            f"({', '.join(one.name for one in found)})."
        )
    shown = [one.excerpt(columns or one.columns, intervals) for one in found]
    if out is None:
        print_tables(shown, form)
    else:
        out.write_text(rendered(shown, form) + "\n", encoding="utf-8")
        print(out)
    for line in _blocked(made):
        print(f"blocked: {line}", file=sys.stderr)
    return 0


def _named(tables: Sequence[Table], wanted: str | None) -> list[Table]:
    """Return the tables of a task, or the one of a name; all where none is asked for."""
    found = [one for one in tables if wanted in (None, one.name, one.task)]
    if not found:
        names = [one.name for one in tables]
        raise InputError(f'There is no table "{wanted}" here.{did_you_mean(str(wanted), names)}')
    return found


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


@Parameter(name="*", group=Group("What is not in the store may be stated, in points (percent)"))
@dataclass(frozen=True)
class Assumed:
    """How much results vary, where no finished results tell."""

    seed_sd: Annotated[
        float | None,
        Parameter(metavar="POINTS", help="Standard deviation of one training's result."),
    ] = None
    image_sd: Annotated[
        float | None,
        Parameter(
            metavar="POINTS",
            help="Standard deviation over images of the difference of two methods on one image.",
        ),
    ] = None
    scene_effect: Annotated[
        float,
        Parameter(
            metavar="FACTOR",
            help="How many times the variance near-duplicate images make of --image-sd's.",
        ),
    ] = 1.0
    images: Annotated[
        int | None, Parameter(metavar="N", help="Test images (default: the dataset's).")
    ] = None


NOTHING = Assumed()


def power(
    experiment: Experiment,
    /,
    *,
    difference: Annotated[
        float, Parameter(metavar="POINTS", help="What is to be seen, in points (percent).")
    ] = 1.0,
    task: Annotated[
        str | None,
        Parameter(metavar="TASK", help="One of its tasks (default: all with AP, IoU)."),
    ] = None,
    wanted: Annotated[
        float, Parameter(name="--power", metavar="SHARE", help="How surely it is to be seen.")
    ] = 0.8,
    source: Annotated[
        str | None,
        Parameter(
            name="--from",
            metavar="EXPERIMENT",
            help="Whose finished results tell the variances (default: its own).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(metavar="DIR", help="Where to draw (default: results/NAME in the store)."),
    ] = None,
    assumed: Assumed = NOTHING,
    options: ExperimentOptions = AS_WRITTEN,
) -> int:
    """Say how many images, scenes, folds and seeds it takes to see a difference, and draw it."""
    from pipelines.planning.lacks import assumed_data
    from pipelines.results.conclusions import designs
    from pipelines.results.statistics.race import share
    from pipelines.views.power import aligned, write_power

    if not (difference > 0 and 0 < wanted < 1):
        raise InputError("--difference must be above 0 points, and --power between 0 and 1.")
    for key, value in vars(assumed).items():
        if value is not None and value <= 0:
            raise InputError(f"--{key.replace('_', '-')} must be above 0; it is {value:g}.")
    with assumed_data():
        made, store = planned(experiment, options)
    spec = made.experiment
    asked = _shares(spec, task)
    level = designs.Wanted(difference, len(spec.methods), wanted)
    if spec.race is not None:
        level = replace(level, alpha=share(spec.race))
    for one in asked:
        stated = designs.Stated(**vars(assumed))
        found, told = _designs(made, store, one, source, stated)
        head, *rows = designs.lines(found, level)
        surely = f"{100 * wanted:g} % power, {level.methods} methods"
        title = f"{spec.name}: smallest difference in {one.headline} that is seen ({surely})"
        print("\n".join([title, "", *aligned([head, *rows]), ""]))
        print("\n".join([*designs.images_for(found[0], level), f"From {told}."]))
        folder = out or store.root / "results" / spec.name
        for path in write_power(found, level, title, folder, f"power-{one.name}"):
            print(path)
    return 0


def _designs(
    made: Plan, store: Store, task: Task, source: str | None, stated: Stated
) -> tuple[list[Design], str]:
    """Return the designs that are compared for a task, and whence their variances are known."""
    from pipelines.results.conclusions.designs import designs, with_stated

    tested, total = _images(made, task)
    basis = with_stated(_basis(made, store, task, source), stated, tested)
    split = made.experiment.sections[task.name].dataset.split
    folds = (split.folds if split is not None else None) or 1
    return designs(basis.known, basis.images, total, folds), basis.told


def _shares(spec: ExperimentSpec, asked: str | None) -> list[Task]:
    """Return the task that is asked for, or all that are scored in shares."""
    from pipelines.tasks.task import task_of

    known = [task_of(name) for name in spec.sections if not task_of(name).per_image]
    names = [one.name for one in known]
    if asked is not None and asked not in names:
        raise InputError(f'--task {asked}: "{spec.name}" has {" and ".join(names) or "none"}.')
    if not known:
        raise InputError(f'"{spec.name}" has neither detection nor segmentation; there is no AP.')
    return [one for one in known if asked in (None, one.name)]


def _basis(made: Plan, store: Store, task: Task, source: str | None) -> Basis | None:
    """Return what the most finished of an experiment's remembered plans tells of a task."""
    from pipelines.planning.memory import recall
    from pipelines.results.conclusions.designs import basis_of
    from pipelines.results.rounds.reading import results_so_far

    name = source or made.experiment.name
    plans = [plan for plan in recall(store) if plan.experiment.name == name]
    if source is not None and not plans:
        known = sorted({plan.experiment.name for plan in recall(store)})
        raise InputError(
            f'The store {store.root} remembers no experiment "{source}".'
            f"{did_you_mean(source, known)}"
        )
    results = [results_so_far(plan, store) for plan in (*plans, *([] if source else [made]))]
    there = [one for one in results if task.name in one.plan.experiment.sections]
    most = max(there, key=lambda one: sum(c.cell.task is task for c in one.cells), default=None)
    return None if most is None else basis_of(most, task)


def _images(made: Plan, task: Task) -> tuple[int | None, int | None]:
    """Return how many test images a task's dataset has, and how many in all, where it is there."""
    from pipelines.datasets.opening import open_dataset
    from pipelines.specs.dataset import DatasetSpec

    cell = next((cell for cell in made.cells if cell.task is task), None)
    if cell is None or "dataset" not in cell.result.local:
        return None, None
    dataset = open_dataset(DatasetSpec(**cell.result.local["dataset"]))
    return len(dataset.test), len(dataset.pairs)


def planned(
    experiment: str, options: ExperimentOptions, existing: bool = False
) -> tuple[Plan, Store]:
    """Return the plan of an experiment, and the store of its stages, which may have to exist."""
    from pipelines.execution.progress import Screen
    from pipelines.planning.planner import make_plan
    from pipelines.specs.loading import load_experiment
    from pipelines.store.store import open_store
    from pipelines.tasks.task import tasks

    spec = load_experiment(experiment, options.overrides)
    store, screen = open_store(options.store, existing=existing), Screen()
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
    print(rendered(tables, form))


def rendered(tables: Sequence[Table], form: Format) -> str:
    """Return tables as `print_tables` prints them."""
    from pipelines.views.formats import render

    if form == "json":
        return "[" + ",\n".join(render(table, form) for table in tables) + "]"
    return "\n\n".join(render(table, form).rstrip("\n") for table in tables)


def _blocked(made: Plan) -> list[str]:
    """Return each reason once, with the first of the cells that it blocks."""
    titles: dict[str, list[str]] = {}
    for title, why in made.blocked:
        titles.setdefault(why, []).append(title)
    more = {
        why: f" (and {len(cells) - 1} more)" if cells[1:] else "" for why, cells in titles.items()
    }
    return [f"{cells[0]}{more[why]}: {why}" for why, cells in titles.items()]
