"""From plan and store to the page on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.execution.progress import Screen
from pipelines.planning.plan import Plan
from pipelines.results.agreement import agreements, gather
from pipelines.specs.dataset import TASKS
from pipelines.store.store import Store
from pipelines.views.report.collect import collect
from pipelines.views.report.page import page


def write_report(
    plan: Plan, store: Store, words: Sequence[str], screen: Screen, path: Path | None = None
) -> Path:
    """Write the page of whatever is finished, and return where: NAME.html in the store.

    `words` name the experiment on a command line.
    """
    path = path or store.root / "reports" / f"{plan.experiment.name}.html"
    path.parent.mkdir(exist_ok=True)
    with screen.step("comparing methods over resampled test images") as progress:
        progress(0, 1, "")
        evidence = gather(plan, store, TASKS)
    with screen.step("reading results and drawing") as progress:
        text = page(collect(plan, store, evidence, agreements(evidence), words, progress))
    path.write_text(text, encoding="utf-8")
    return path


def words_of(experiment: str, overrides: Mapping[str, Any] | None) -> list[str]:
    """Return an experiment and its overrides as the words of a command line."""
    parts = [experiment]
    for key, value in (overrides or {}).items():
        told = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
        parts += ["--set", f"{key}={told.removesuffix('...').strip()}"]
    return parts
