"""A cached run does each thing once: it loads, plans, tabulates and matches no second time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stand_ins import start_checker
from synthetic_store import finish

from pipelines import flows
from pipelines import work as steps
from pipelines.cli.app import main
from pipelines.planning import planner
from pipelines.planning.plan import Plan
from pipelines.store.store import Store

pytestmark = pytest.mark.process

COUNTED = {
    "load": "pipelines.specs.loading:load_experiment",
    "plan": "pipelines.planning.planner:make_plan",
    "evidence": "pipelines.results.tables:experiment_evidence",
    "results": "pipelines.results.finished:read_results",
    "matching": "detection.matching:rankings",
    "evaluation": "detection.ap:evaluate",
}


def called(work: Callable[[], Any]) -> Counter[str]:
    """Run `work` and count its calls of the functions in COUNTED, whoever makes them."""
    codes = {}
    for name, place in COUNTED.items():
        module, function = place.split(":")
        __import__(module)
        codes[getattr(sys.modules[module], function).__code__] = name
    counts: Counter[str] = Counter()

    def see(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in codes:
            counts[codes[frame.f_code]] += 1

    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts


@contextmanager
def in_process(store: Store) -> Iterator[Any]:
    """Give the flow without Prefect: `compare` runs as it stands, its steps are made by hand."""

    class ByHand(flows.Work):
        def run(self, plan: Plan, chains: Any, on_done: Any = None) -> list[str]:
            finish(plan.cells, store)
            return []

    def compare(spec: Any, overrides: Any, place: str, devices: Any, jobs: Any) -> Any:
        work = ByHand(place, devices, jobs)
        return flows.run_experiment(work, spec, overrides, flows.tasks())

    yield SimpleNamespace(compare=compare)


def test_a_cached_comparison_does_each_thing_once(
    write_experiment: Callable[..., Path],
    scenes_root: Path,
    tmp_path: Path,
    mlflow_template: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store(tmp_path / "store")
    (store.root / "mlflow.db").write_bytes(mlflow_template.path.read_bytes())
    monkeypatch.setattr(flows, "create_markdown_artifact", lambda *_, **__: None)
    start = planner.make_plan
    monkeypatch.setattr(steps, "make_plan", lambda *given: start(*given, start_checker))
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(scenes_root / "m3fd")}
    boxes["split"] = {"file": str(scenes_root / "m3fd" / "split.yaml")}
    path = write_experiment(methods=["average", "visible"], seeds=[0, 1])
    words = ["compare", str(path), "--store", str(store.root), "--devices", "cpu", "--jobs", "1"]

    def run() -> None:
        source: Callable[[], AbstractContextManager[Any]] = lambda: in_process(store)  # noqa: E731
        assert main(words, flows=source) == 0

    first = called(run)
    again = called(run)
    assert "tiny: detection on boxes" in capsys.readouterr().out
    cells = 2 * 2  # of detection: methods x seeds
    assert first["matching"] == cells  # for the resamples and the page together
    once = {"load": 1, "plan": 1, "evidence": 1}
    assert {name: again[name] for name in once} == once
    assert again["matching"] == 0
    assert again["evaluation"] == 0
    assert again["results"] <= 2  # before the run, to see what is new, and after it
