"""MLflow while an experiment runs: the run never fails for it, and never waits long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.execution.dispensable import MLFLOW, dispensable
from pipelines.planning.plan import Cell
from pipelines.results.finished import Results
from pipelines.results.values import Table
from pipelines.views.tracking.tracker import Tracker

LATER = "The next run brings it up to date, and so does fuse-then mlflow sync."


class View:
    """A tracker that the work does without when its MLflow is not there.

    What it could not write it writes at the end, or in the next run.
    """

    def __init__(self, tracker: Tracker, say: Callable[[str], None]) -> None:
        self._tracker, self._say = tracker, say
        self._there = True
        self.published = tracker.published

    def prepare(self) -> None:
        """Connect before any training; raises InputError for what MLflow never takes."""
        with self._attempt():
            self._tracker.prepare()

    def follow(self, cells: Iterable[Cell]) -> None:
        """Log those of the cells that have finished since the last call, while MLflow answers."""
        if self._there:
            with self._attempt():
                self._tracker.follow(cells)

    def publish(self, results: Results, tables: Sequence[Table], page: Path) -> None:
        """Write all that is not there yet, even if MLflow did not answer before."""
        with self._attempt():
            self._tracker.publish(results, tables, page)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        with dispensable(MLFLOW, LATER, self._missing):
            yield

    def _missing(self, line: str) -> None:
        self._there = False
        self._say(line)
