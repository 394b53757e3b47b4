"""The tables: ours, the paper's row beneath, the difference, and every deviation under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    experiment = results.plan.experiment
    spec = experiment.sections[task.name]
    columns = task.columns(spec)
    printed, notes = paper_rows(experiment, task, columns, part)
    rows: list[Row] = []
    measured: dict[str, Measured] = {}
    cells = {method.row: results.of(task.name, method.row) for method in experiment.methods}
    for method in experiment.methods:
        done = cells[method.row]
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
    none = ", ".join(m.row for m in experiment.methods if not m.makes_images)
    if none and task.per_image:
        notes = (*notes, NO_IMAGE.format(rows=none))
    notes = (*notes, *filter(None, (trained_on(experiment, spec.dataset, part),)))
    seeds = max(row.wanted for row in rows if row.kind == "ours")
    notes = (*notes, *cross_validated(next(filter(None, cells.values()), [])))
    notes = (*notes, *covered(measured.values()))
    if any(not one.fixed for one in measured.values()):
        notes = (*notes, SEEDLESS)
    if measured and not task.per_image:
        notes = (*notes, CORRECTED, *((ONE_SEED,) if seeds == 1 else ()))
    if seeds > 1:
        least = min(row.wanted for row in rows if row.kind == "ours" and row.wanted)
        several = f"{least} to {seeds}" if least < seeds else str(seeds)
        notes = (f"Mean and standard deviation over {several} seeds.", *notes)
    whose = f"{spec.dataset.name} {part}".strip()
    title = f"{experiment.name}: {task.name} on {whose}, {task.metric}"
    images = next((one.images for one in measured.values()), None)
    differing = (*deviations(experiment, task, part, images), *differing_conditions(cells))
    name = f"{task.name}-{part}".strip("-")
    table = Table(title, task.name, columns, tuple(rows), notes, differing, name)
    table = replace(table, objects=_objects(task, spec, cells))
    visible = next((m.row for m in experiment.methods if m.name == "visible"), None)
    if task.per_image:
        table = with_mean_ranks(table, getattr(spec, "convention", "paper"))
    race = results.races.get(task.name)
    if race is not None:
        table = replace(table, notes=(*table.notes, raced.told(race, saved(results, task))))
    borrowed, whose_seeds = lent(results, task, part, columns)
    if whose_seeds and measured:
        table = replace(table, notes=(*table.notes, whose_seeds))
    return conclude(table, with_spread(measured), visible, borrowed, race)
