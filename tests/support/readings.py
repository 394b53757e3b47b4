"""What is finished of a plan, as tables and views read it, in one call."""

from __future__ import annotations

from pipelines.planning.plan import Plan
from pipelines.results import robustness
from pipelines.results.conclusions.evidence import Evidence
from pipelines.results.finished import read_results
from pipelines.results.robustness import Curve
from pipelines.results.tables import experiment_evidence
from pipelines.results.values import Table
from pipelines.store.store import Store


def evidence_of(plan: Plan, store: Store, *tasks: str) -> tuple[Evidence, ...]:
    """Return the evidence of all tasks of a plan, or of some."""
    found = experiment_evidence(read_results(plan, store))
    return tuple(one for one in found if not tasks or one.table.task in tasks)


def tables_of(plan: Plan, store: Store, *tasks: str) -> list[Table]:
    """Return the tables of all tasks of a plan, or of some."""
    return [one.table for one in evidence_of(plan, store, *tasks)]


def curves_of(plan: Plan, store: Store) -> tuple[Curve, ...]:
    """Return the curves of disturbed pairs."""
    return robustness.curves(read_results(plan, store))


def disturbed_of(plan: Plan, store: Store, by_kind: bool = False) -> list[Table]:
    """Return the tables of disturbed pairs."""
    return robustness.robustness_tables(read_results(plan, store), by_kind)
