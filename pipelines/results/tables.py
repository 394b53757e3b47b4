"""The tables: ours, the paper's row beneath, the difference, and every deviation under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipelines.results.conclusions import raced
from pipelines.results.conclusions.evidence import Evidence, conclude
from pipelines.results.conclusions.lent import lent
from pipelines.results.finished import FinishedCell, Results
from pipelines.results.protocol.conditions import differing_conditions
from pipelines.results.protocol.deviations import deviations
from pipelines.results.protocol.networks import trained_on
from pipelines.results.protocol.printed import paper_rows
from pipelines.results.rounds.saved import saved
from pipelines.results.rows.folds import complete, cross_validated, with_spread
from pipelines.results.rows.quality import quality_row, with_mean_ranks
from pipelines.results.rows.shares import CORRECTED, ONE_SEED, SEEDLESS, covered, share_row
from pipelines.results.values import Measured, Row, Table, difference
from pipelines.specs.tasks import TaskSpec
from pipelines.tasks.task import Task

NO_IMAGE = "{rows}: no fused image is made, so that there is none to score."


def experiment_evidence(results: Results) -> tuple[Evidence, ...]:
    """Return the tables of an experiment's tasks from whatever is finished, and what they support.

    One per task, or one per part of the dataset where `scoring.by_part` says so. Resampling a cell
    takes about half a second the first time and is then kept in the store.
    """
    return tuple(
        _evidence(results, task, part)
        for task in results.plan.tasks
        for part in _parts(results.plan.experiment.sections[task.name])
    )


def _parts(spec: TaskSpec) -> tuple[str, ...]:
    return spec.dataset.parts if getattr(spec, "by_part", False) else ("",)


def _objects(
    task: Task, spec: TaskSpec, cells: Mapping[str, Sequence[FinishedCell]]
) -> tuple[int | None, ...]:
    """Return how many test objects each column rests on; those of all folds that are tested."""
    if task.objects is None:
        return ()
    done = {one.cell.fold: one for own in cells.values() for one in own}
    found = [task.objects(one.metrics, spec) for one in done.values()]
    sums = [[n for n in column if n is not None] for column in zip(*found, strict=True)]
    return tuple(sum(known) if known else None for known in sums)


def _evidence(results: Results, task: Task, part: str) -> Evidence:
    experiment, spec = results.plan.experiment, results.plan.experiment.sections[task.name]
    columns = task.columns(spec)
    cells = {method.row: results.of(task.name, method.row) for method in experiment.methods}
    rows, measured, notes = _rows(results, task, part, columns)
    images = next((one.images for one in measured.values()), None)
    race = results.races.get(task.name)
    borrowed, whose_seeds = lent(results, task, part, columns)
    table = Table(
        f"{experiment.name}: {task.name} on {f'{spec.dataset.name} {part}'.strip()}, {task.metric}",
        task.name,
        columns,
        rows,
        (*_seeds(rows), *notes, *_beneath(results, task, part, cells, measured)),
        (*deviations(experiment, task, part, images), *differing_conditions(cells)),
        f"{task.name}-{part}".strip("-"),
        objects=_objects(task, spec, cells),
    )
    if task.per_image:
        table = with_mean_ranks(table, getattr(spec, "convention", "paper"))
    if race is not None:
        table = replace(table, notes=(*table.notes, raced.told(race, saved(results, task))))
    if whose_seeds and measured:
        table = replace(table, notes=(*table.notes, whose_seeds))
    visible = next((m.row for m in experiment.methods if m.name == "visible"), None)
    return conclude(table, with_spread(measured), visible, borrowed, race)


def _rows(
    results: Results, task: Task, part: str, columns: tuple[str, ...]
) -> tuple[tuple[Row, ...], dict[str, Measured], tuple[str, ...]]:
    """Return our rows, the paper's and the difference beneath, what they rest on, and notes."""
    printed, notes = paper_rows(results.plan.experiment, task, columns, part)
    rows: list[Row] = []
    measured: dict[str, Measured] = {}
    for method in results.plan.experiment.methods:
        done = results.of(task.name, method.row)
        scores = (
            quality_row(done, part, columns)
            if task.per_image
            else share_row(done, results.store, len(columns))
        )
        there = method.makes_images or not task.per_image
        wanted = results.wanted(task.name, method.row) if there else 0
        ours = Row(method.row, "ours", scores.values, len(complete(done)), wanted)
        rows.append(ours)
        notes = (*notes, *scores.notes)
        if scores.measured is not None:
            measured[method.row] = scores.measured
        if (values := printed.get(method.row)) is not None:
            paper = Row("  paper", "paper", values, 1, 1)
            rows += [paper, difference(ours, paper)]
    return tuple(rows), measured, notes


def _seeds(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the rows are the mean of, where there are several seeds."""
    wanted = [row.wanted for row in rows if row.kind == "ours"]
    if (most := max(wanted)) > 1:
        least = min(filter(None, wanted))
        several = f"{least} to {most}" if least < most else str(most)
        yield f"Mean and standard deviation over {several} seeds."


def _beneath(
    results: Results,
    task: Task,
    part: str,
    cells: Mapping[str, Sequence[FinishedCell]],
    measured: Mapping[str, Measured],
) -> Iterator[str]:
    """Yield what is said of all rows together."""
    experiment = results.plan.experiment
    none = ", ".join(m.row for m in experiment.methods if not m.makes_images)
    if none and task.per_image:
        yield NO_IMAGE.format(rows=none)
    if known := trained_on(experiment, experiment.sections[task.name].dataset, part):
        yield known
    yield from cross_validated(next(filter(None, cells.values()), []))
    yield from covered(measured.values())
    if any(not one.fixed for one in measured.values()):
        yield SEEDLESS
    if measured and not task.per_image:
        yield CORRECTED
        if max(results.wanted(task.name, method.row) for method in experiment.methods) == 1:
            yield ONE_SEED
