"""MLflow while an experiment runs: the run never fails for it, and never waits long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fusion.locks import locked
from pipelines.execution.dispensable import LIMIT_SECONDS, MLFLOW, dispensable
from pipelines.planning.plan import Cell
from pipelines.results.finished import Results
from pipelines.results.values import Table
from pipelines.views.tracking.tracker import Tracker

LATER = "The next run brings it up to date, and so does fuse-then mlflow sync."


class View:
    """A tracker that the work does without when its MLflow is not there.

    What it could not write it writes at the end, or in the next run. Runs of one store write one
    after another, so that none makes what another is about to make.
    """

    def __init__(self, tracker: Tracker, say: Callable[[str], None]) -> None:
        self._tracker, self._say = tracker, say
        self._there = True
        self.published = tracker.published

    def prepare(self) -> None:
        """Connect before any training; raises InputError for what MLflow never takes."""
        with self._attempt(), locked(self._tracker.lock, LIMIT_SECONDS):
            self._tracker.prepare()

    def follow(self, cells: Iterable[Cell]) -> None:
        """Log those of the cells that have finished since the last call, while MLflow answers.

        They are logged later where another run is writing now.
        """
        if self._there:
            with self._attempt(), suppress(TimeoutError), locked(self._tracker.lock, 0.0):
                self._tracker.follow(cells)

    def publish(self, results: Results, tables: Sequence[Table], page: Path) -> None:
        """Write all that is not there yet, even if MLflow did not answer before."""
        if self.published(results):
            return
        with self._attempt(), locked(self._tracker.lock, LIMIT_SECONDS):
            self._tracker.publish(results, tables, page)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        with dispensable(MLFLOW, LATER, self._missing):
            yield

    def _missing(self, line: str) -> None:
        self._there = False
        self._say(line)
