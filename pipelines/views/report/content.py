"""From plan, store and evidence to the plain data of a report; every file is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import TypeVar
from zipfile import BadZipFile

from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.execution.job import Progress
from pipelines.planning.plan import Cell, Plan
from pipelines.results.agreement import Agreement, Evidence
from pipelines.results.robustness import curves, robustness_tables
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.store import Store
from pipelines.views.report import detections, masks
from pipelines.views.report.examples import Images, detection_strips, segmentation_strips
from pipelines.views.report.losses import training_curves
from pipelines.views.report.model import Report, Robustness, Speed, TaskReport
from pipelines.views.report.origins import records

T = TypeVar("T")
UNREADABLE = (OSError, ValueError, KeyError, BadZipFile)
"""What reading a file that is gone or damaged raises."""


def collect(
    plan: Plan,
    store: Store,
    evidence: Sequence[Evidence],
    agreements: Sequence[Agreement],
    words: Sequence[str],
    progress: Progress,
) -> Report:
    """Gather what a report of `evidence` shows; `words` name the experiment on a command line.

    `progress` is told of each cell. Of what is unfinished or removed there is nothing.
    """
    days = sorted(
        manifest.started[:10] for c in plan.cells if (manifest := store.manifest(c.result))
    )
    collector = Collector(plan, store, progress)
    return Report(
        name=plan.experiment.name,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        days=" to ".join(dict.fromkeys((days[0], days[-1]))) if days else "",
        methods=tuple((method.row, method.name) for method in plan.experiment.methods),
        seeds=plan.experiment.seeds,
        tasks=tuple(collector.task(one) for one in evidence),
        agreements=tuple(agreements),
        losses=training_curves(plan, store),
        robustness=_robustness(plan, store),
        cells=records(plan, store, words),
        blocked=plan.blocked,
    )


def _robustness(plan: Plan, store: Store) -> tuple[Robustness, ...]:
    """Return each task's curves as far as they are finished; none where nothing is disturbed."""
    found = curves(plan, store)
    return tuple(
        Robustness(table, tuple(curve for curve in found if curve.task == table.task))
        for table in robustness_tables(plan, store)
    )


class Collector:
    """Reads what the finished cells of a plan left, and says how far it is."""

    def __init__(self, plan: Plan, store: Store, progress: Progress) -> None:
        self._cells = [c for c in plan.cells if store.manifest(c.result) is not None]
        self._store = store
        self._progress = progress
        self._done = 0

    def task(self, evidence: Evidence) -> TaskReport:
        """Return one table's part of the report."""
        cells = [cell for cell in self._cells if cell.task == evidence.table.task]
        if not cells:
            return TaskReport(evidence, 0)
        dataset = open_dataset(DatasetSpec(**cells[0].result.local["dataset"]))
        readers = {"detection": self._detection, "segmentation": self._segmentation}
        read = readers.get(evidence.table.task, self._scoring)
        return read(evidence, cells, dataset)

    def _detection(self, evidence: Evidence, cells: list[Cell], data: Dataset) -> TaskReport:
        classes = data.spec.classes

        def read(cell: Cell) -> detections.Detected:
            return detections.read_detected(self._store.directory(cell.result), cell.seed, classes)

        found, lost = self._by_method(cells, read)
        strips, notes = detection_strips(found, data, self._images(cells))
        return TaskReport(
            evidence,
            len(data.test),
            lost=lost,
            curves=detections.mean_curves(found, classes),
            strips=strips,
            strip_notes=notes,
            speeds=self._speeds(cells),
        )

    def _segmentation(self, evidence: Evidence, cells: list[Cell], data: Dataset) -> TaskReport:
        def read(cell: Cell) -> masks.Segmented:
            return masks.read_segmented(self._store.directory(cell.result), cell.seed)

        found, lost = self._by_method(cells, read)
        strips, notes = segmentation_strips(found, data, self._images(cells))
        return TaskReport(
            evidence,
            len(data.test),
            lost=lost,
            confusions=masks.summed(found),
            classes=data.spec.classes,
            strips=strips,
            strip_notes=notes,
            legend=masks.class_colours(data.spec.classes),
            speeds=self._speeds(cells),
        )

    def _scoring(self, evidence: Evidence, cells: list[Cell], data: Dataset) -> TaskReport:
        part = evidence.table.name.removeprefix("scoring").removeprefix("-")
        images = sum(not part or data.part_of(name) == part for name in data.test)
        return TaskReport(evidence, images, speeds=self._speeds(cells))

    def _by_method(
        self, cells: Iterable[Cell], read: Callable[[Cell], T]
    ) -> tuple[dict[str, list[T]], tuple[str, ...]]:
        """Return what was read by row, and the cells of which somebody has removed the files."""
        found: dict[str, list[T]] = {}
        lost = []
        for cell in cells:
            try:
                found.setdefault(cell.method.row, []).append(read(cell))
            except UNREADABLE:
                lost.append(cell.title)
            self._done += 1
            self._progress(self._done, len(self._cells), cell.title)
        return {row: seeds for row, seeds in found.items() if seeds}, tuple(lost)

    def _images(self, cells: Sequence[Cell]) -> Images:
        """Return where a method's fused images lie, by row and seed."""
        return {
            (cell.method.row, cell.seed): self._store.directory(cell.result.inputs["fused"])
            / "images"
            for cell in cells
        }

    def _speeds(self, cells: Sequence[Cell]) -> tuple[Speed, ...]:
        """Return each method's mean over its fusing stages, those that are still there."""
        made: dict[str, dict[str, tuple[float, str]]] = {}
        for cell in cells:
            stage = cell.result.inputs["fused"]
            manifest = self._store.manifest(stage)
            if manifest is not None and manifest.metrics["images"]:
                seconds = manifest.seconds / manifest.metrics["images"]
                on = f"{manifest.device} ({manifest.processor})"
                made.setdefault(cell.method.row, {})[stage.key] = (seconds, on)
        return tuple(
            Speed(
                row,
                fmean(s for s, _ in of.values()),
                "; ".join(sorted({d for _, d in of.values()})),
            )
            for row, of in made.items()
        )
