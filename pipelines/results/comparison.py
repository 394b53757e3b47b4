"""What a run of an experiment found, all of it, for whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.execution.worker import StageFailed
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.finished import Results
from pipelines.results.values import Table


@dataclass(frozen=True, eq=False)
class Comparison:
    """The finished cells of an experiment, its tables, and its page.

    `disturbed` are the tables of disturbed pairs; `failures` hold a line for each failed step.
    """

    results: Results
    evidence: tuple[Evidence, ...]
    disturbed: tuple[Table, ...]
    page: Path
    failures: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables in their order."""
        return (*(one.table for one in self.evidence), *self.disturbed)


class RunFailed(StageFailed):
    """A step failed; `comparison` holds what is finished all the same."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("\n".join([*comparison.failures, KEPT]))
        self.comparison = comparison


KEPT = "Finished steps are kept: run again to go on."
