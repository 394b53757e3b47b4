"""From plan, store and evidence to the plain data of a report; every file is read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from statistics import fmean
from typing import TypeVar

from fusion.pairs import read_rgb
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.execution.job import Progress
from pipelines.results.conclusions.agreement import Agreement
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.finished import FinishedCell, Results
from pipelines.results.robustness import curves, robustness_tables
from pipelines.results.rounds.runners import runners
from pipelines.results.statistics.bootstrap import numbered, sizes
from pipelines.results.undersampled import RECONSTRUCTED, undersampled_tables
from pipelines.results.values import Line
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.stage import Manifest
from pipelines.tasks.detection import Detected
from pipelines.tasks.segmentation import Segmented
from pipelines.tasks.task import Kept, task_of
from pipelines.views.report import detections, masks
from pipelines.views.report.examples import Images, detection_strips, segmentation_strips
from pipelines.views.report.images import image_uri
from pipelines.views.report.model import (
    Picture,
    Report,
    Robustness,
    Scans,
    Speed,
    Strip,
    TaskReport,
)
from pipelines.views.report.origins import records
from pipelines.views.scans import Shown, shown_scans

ONE_FOLD = "Curves, confusions and examples are of {fold} alone."
T = TypeVar("T")
S = TypeVar("S")
UPON_VISIBLE = "{rows}: no fused image; drawn upon the visible one, the infrared one is beside it."
Read = Callable[[FinishedCell], Kept | None]


def collect(
    results: Results,
    evidence: Sequence[Evidence],
    agreements: Sequence[Agreement],
    progress: Progress,
) -> Report:
    """Gather what a report of `evidence` shows; `progress` is told of each cell.

    Of what is unfinished or removed there is nothing.
    """
    plan = results.plan
    days = sorted(one.result.manifest.started[:10] for one in results.cells)
    done = count(1)

    def read(one: FinishedCell) -> Kept | None:
        progress(next(done), len(results.cells), one.cell.title)
        return one.kept

    return Report(
        name=plan.experiment.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        days=" to ".join(dict.fromkeys((days[0], days[-1]))) if days else "",
        methods=tuple((method.row, method.name) for method in plan.experiment.methods),
        seeds=tuple(dict.fromkeys(cell.seed for cell in plan.cells)) or plan.experiment.all_seeds,
        tasks=tuple(_task(one, results, read) for one in evidence),
        agreements=tuple(agreements),
        losses=_losses(results),
        robustness=_robustness(results),
        cells=records(results),
        blocked=plan.blocked,
        scans=_scans(results),
    )


def _scans(results: Results) -> Scans | None:
    """Return what shorter scans cost; None where all scans are whole."""
    tables = undersampled_tables(results)
    if not tables:
        return None
    near = tuple(table for table in tables if table.name == RECONSTRUCTED)
    strips = tuple(_scanned(row) for row in shown_scans(results))
    return Scans(near[0] if near else None, tuple(t for t in tables if t not in near), strips)


def _scanned(row: Shown) -> Strip:
    pictures = []
    for scan, path in row.pictures.items():
        image = read_rgb(path)
        height, width = image.shape[:2]
        pictures.append(Picture(scan, "", image_uri(image), width, height))
    return Strip(row.name, row.label, tuple(pictures))


def _robustness(results: Results) -> tuple[Robustness, ...]:
    """Return each task's curves as far as they are finished; none where nothing is disturbed."""
    found = curves(results)
    return tuple(
        Robustness(
            task_of(table.task).headline,
            table,
            tuple(curve for curve in found if curve.task == table.task),
        )
        for table in robustness_tables(results)
    )


def _task(evidence: Evidence, results: Results, read: Read) -> TaskReport:
    """Return one table's part of the report; what is drawn follows from what its tests kept."""
    cells = [one for one in results.cells if one.cell.task is evidence.task]
    if not cells:
        return TaskReport(evidence, 0)
    folds = {one.cell.fold: one.cell.result.local["dataset"] for one in reversed(cells)}
    opened = [open_dataset(DatasetSpec(**spec)) for spec in folds.values()]
    part = evidence.table.name.removeprefix(evidence.task.name).removeprefix("-")
    names = [n for data in opened for n in data.test if not part or data.part_of(n) == part]
    known = {name: scene for data in opened for name, scene in data.scenes.items()}
    scenes = len(sizes(numbered(names, known)))
    lost = tuple(one.cell.title for one in cells if read(one) is None and one.cell.task.read)
    went, number = runners(results, evidence.task), cells[0].cell.fold
    report = TaskReport(
        evidence,
        len(names),
        scenes,
        number.of if number else 1,
        lost=lost,
        speeds=_speeds(cells),
        runners=went,
    )
    shown = _task_shown(
        report, [one for one in cells if one.cell.fold == cells[0].cell.fold], opened[-1], results
    )
    if (fold := cells[0].cell.fold) is None:
        return shown
    return replace(shown, strip_notes=(*shown.strip_notes, ONE_FOLD.format(fold=fold.label)))


def _task_shown(
    report: TaskReport, cells: Sequence[FinishedCell], data: Dataset, results: Results
) -> TaskReport:
    fused = _fused(cells, results)
    if detected := _by_method(cells, Detected, detections.shown):
        report = _detection(report, detected, data, fused)
    elif segmented := _by_method(cells, Segmented, masks.Masks):
        report = _segmentation(report, segmented, data, fused)
    rows = dict.fromkeys(c.cell.method.row for c in cells if not c.cell.method.makes_images)
    if rows and report.strips:
        note = UPON_VISIBLE.format(rows=", ".join(rows))
        report = replace(report, strip_notes=(*report.strip_notes, note))
    return report


def _by_method(
    cells: Sequence[FinishedCell], kind: type[T], shown: Callable[[int, T], S]
) -> dict[str, list[S]]:
    """Return by row what is shown of a method's seeds, as far as they can be read."""
    found: dict[str, list[S]] = {}
    for one in cells:
        if isinstance(one.kept, kind):
            found.setdefault(one.cell.method.row, []).append(shown(one.cell.seed, one.kept))
    return found


def _fused(cells: Sequence[FinishedCell], results: Results) -> Images:
    """Return where a method's fused images lie, by row and seed."""
    stages = {
        (one.cell.method.row, one.cell.seed): one.cell.result.inputs["fused"] for one in cells
    }
    return {key: results.store.directory(stage) / "images" for key, stage in stages.items()}


def _detection(
    report: TaskReport, cells: dict[str, list[detections.Shown]], data: Dataset, fused: Images
) -> TaskReport:
    strips, notes = detection_strips(cells, data, fused)
    curves = detections.mean_curves(cells, data.spec.classes)
    return replace(report, curves=curves, strips=strips, strip_notes=notes)


def _segmentation(
    report: TaskReport, cells: dict[str, list[masks.Masks]], data: Dataset, fused: Images
) -> TaskReport:
    strips, notes = segmentation_strips(cells, data, fused)
    return replace(
        report,
        confusions=masks.summed(cells),
        classes=data.spec.classes,
        strips=strips,
        strip_notes=notes,
        legend=masks.class_colours(data.spec.classes),
    )


def _speeds(cells: Sequence[FinishedCell]) -> tuple[Speed, ...]:
    """Return each method's mean over its fusing stages, those that are still there."""
    stages: dict[str, dict[str, Manifest]] = {}
    for one in cells:
        if one.cell.method.joined:
            continue  # nothing is fused
        if one.fused is not None and one.fused.manifest.metrics.get("images"):
            stages.setdefault(one.cell.method.row, {})[one.fused.stage.key] = one.fused.manifest
    return tuple(
        Speed(
            row,
            fmean(m.seconds / m.metrics["images"] for m in of.values()),
            "; ".join(sorted({f"{m.device} ({m.processor})" for m in of.values()})),
        )
        for row, of in stages.items()
    )


def _losses(results: Results) -> dict[str, tuple[Line, ...]]:
    """Return by what was trained one curve for each finished training, in the plan's order.

    The loss on validation images is drawn, too, where there are some to validate on.
    """
    found: dict[str, list[Line]] = {}
    for cell, training in results.trainings:
        history, rows = training.history, training.epochs
        if history is None or not rows:
            continue
        method, epochs = cell.method.row, tuple(row["epoch"] for row in rows)
        lines = found.setdefault(history.title, [])
        lines.append(Line(method, epochs, tuple(map(history.loss, rows))))
        if history.validation is not None:
            losses = tuple(map(history.validation, rows))
            if any(loss > 0 for loss in losses):
                lines.append(Line(method, epochs, losses, "val"))
    return {title: tuple(lines) for title, lines in found.items()}
