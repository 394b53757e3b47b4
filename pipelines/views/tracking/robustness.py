"""Curves and tables of disturbed pairs, beside the other tables of an experiment's run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.planning.plan import Plan
from pipelines.results.robustness import robustness_tables
from pipelines.store.digests import digest
from pipelines.store.store import Store
from pipelines.views.formats import Format, render
from pipelines.views.robustness import robustness_charts
from pipelines.views.tracking.cells import log_chart
from pipelines.views.tracking.server import missing

if TYPE_CHECKING:
    from pipelines.views.tracking.tracker import Tracker

FORMS: tuple[Format, ...] = ("md", "csv", "json")


def log_robustness(plan: Plan, store: Store, tracker: Tracker, again: bool = False) -> None:
    """Log what is finished of a plan's disturbed cells, unless all was logged; or once more."""
    uri = tracker.uri
    note = store.root / "tracked" / digest([uri, sorted(c.result.key for c in plan.perturbed)])[:16]
    known = note.is_file() and note.read_text("utf-8") == uri and not missing(uri)
    if not plan.perturbed or (known and not again):
        return
    client, run = tracker.connect().client, tracker.parent
    for table in robustness_tables(plan, store):
        for form in FORMS:
            client.log_text(run, render(table, form), f"tables/{table.name}.{form}")
    for name, chart in robustness_charts(plan, store):
        log_chart(client, run, chart, f"tables/{name}.png")
    if all(store.manifest(cell.result) for cell in plan.perturbed):
        note.parent.mkdir(exist_ok=True)
        note.write_text(uri, encoding="utf-8")
