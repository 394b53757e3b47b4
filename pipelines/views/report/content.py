"""From plan, store and evidence to the plain data of a report; every file is read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean
from typing import TypeVar

from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.execution.job import Progress
from pipelines.results.agreement import Agreement
from pipelines.results.evidence import Evidence
from pipelines.results.finished import FinishedCell, Results
from pipelines.results.robustness import curves, robustness_tables
from pipelines.specs.dataset import DatasetSpec
from pipelines.tasks.detection import Detected
from pipelines.tasks.segmentation import Segmented
from pipelines.tasks.task import Kept, task_of
from pipelines.views.report import detections, masks
from pipelines.views.report.examples import Images, detection_strips, segmentation_strips
from pipelines.views.report.losses import training_curves
from pipelines.views.report.model import Report, Robustness, Speed, TaskReport
from pipelines.views.report.origins import records

T = TypeVar("T")


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
    collector = Collector(results, progress)
    return Report(
        name=plan.experiment.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        days=" to ".join(dict.fromkeys((days[0], days[-1]))) if days else "",
        methods=tuple((method.row, method.name) for method in plan.experiment.methods),
        seeds=plan.experiment.seeds,
        tasks=tuple(collector.task(one) for one in evidence),
        agreements=tuple(agreements),
        losses=training_curves(results),
        robustness=_robustness(results),
        cells=records(results),
        blocked=plan.blocked,
    )


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


class Collector:
    """Reads what the finished cells of a plan left, and says how far it is."""

    def __init__(self, results: Results, progress: Progress) -> None:
        self._results = results
        self._progress = progress
        self._done = 0

    def task(self, evidence: Evidence) -> TaskReport:
        """Return one table's part of the report; what is drawn follows from what a test kept."""
        cells = [one for one in self._results.cells if one.cell.task is evidence.task]
        if not cells:
            return TaskReport(evidence, 0)
        data = open_dataset(DatasetSpec(**cells[0].cell.result.local["dataset"]))
        part = evidence.table.name.removeprefix(evidence.task.name).removeprefix("-")
        images = sum(not part or data.part_of(name) == part for name in data.test)
        kept = self._by_method(cells)
        report = TaskReport(evidence, images, lost=self._lost(cells), speeds=self._speeds(cells))
        detected = {row: _only(found, Detected) for row, found in kept.items()}
        segmented = {row: _only(found, Segmented) for row, found in kept.items()}
        if any(detected.values()):
            return self._detection(report, cells, detected, data)
        if any(segmented.values()):
            return self._segmentation(report, cells, segmented, data)
        return report

    def _detection(
        self,
        report: TaskReport,
        cells: Sequence[FinishedCell],
        kept: Mapping[str, Sequence[tuple[int, Detected]]],
        data: Dataset,
    ) -> TaskReport:
        shown = {
            row: [detections.shown(seed, one) for seed, one in seeds]
            for row, seeds in kept.items()
            if seeds
        }
        strips, notes = detection_strips(shown, data, self._images(cells))
        curves = detections.mean_curves(shown, data.spec.classes)
        return replace(report, curves=curves, strips=strips, strip_notes=notes)

    def _segmentation(
        self,
        report: TaskReport,
        cells: Sequence[FinishedCell],
        kept: Mapping[str, Sequence[tuple[int, Segmented]]],
        data: Dataset,
    ) -> TaskReport:
        shown = {
            row: [masks.Masks(seed, one) for seed, one in seeds]
            for row, seeds in kept.items()
            if seeds
        }
        strips, notes = segmentation_strips(shown, data, self._images(cells))
        return replace(
            report,
            confusions=masks.summed(shown),
            classes=data.spec.classes,
            strips=strips,
            strip_notes=notes,
            legend=masks.class_colours(data.spec.classes),
        )

    def _by_method(self, cells: Iterable[FinishedCell]) -> dict[str, list[tuple[int, Kept]]]:
        """Return what can be read of each method's cells, with their seeds."""
        found: dict[str, list[tuple[int, Kept]]] = {}
        for one in cells:
            if one.kept is not None:
                found.setdefault(one.cell.method.row, []).append((one.cell.seed, one.kept))
            self._done += 1
            self._progress(self._done, len(self._results.cells), one.cell.title)
        return found

    def _lost(self, cells: Iterable[FinishedCell]) -> tuple[str, ...]:
        """Return the cells of which somebody has removed or damaged the files."""
        return tuple(o.cell.title for o in cells if o.cell.task.read and o.kept is None)

    def _images(self, cells: Sequence[FinishedCell]) -> Images:
        """Return where a method's fused images lie, by row and seed."""
        store = self._results.store
        return {
            (one.cell.method.row, one.cell.seed): store.directory(one.cell.result.inputs["fused"])
            / "images"
            for one in cells
        }

    def _speeds(self, cells: Sequence[FinishedCell]) -> tuple[Speed, ...]:
        """Return each method's mean over its fusing stages, those that are still there."""
        found: dict[str, dict[str, tuple[float, str]]] = {}
        for one in cells:
            if one.fused is not None and one.fused.manifest.metrics.get("images"):
                manifest = one.fused.manifest
                seconds = manifest.seconds / manifest.metrics["images"]
                on = f"{manifest.device} ({manifest.processor})"
                found.setdefault(one.cell.method.row, {})[one.fused.stage.key] = (seconds, on)
        return tuple(
            Speed(
                row,
                fmean(s for s, _ in of.values()),
                "; ".join(sorted({d for _, d in of.values()})),
            )
            for row, of in found.items()
        )


def _only(found: Iterable[tuple[int, Kept]], kind: type[T]) -> list[tuple[int, T]]:
    return [(seed, kept) for seed, kept in found if isinstance(kept, kind)]
