"""MLflow as a view of the store: one parent run per experiment, one child per finished cell.

Everything here is made from manifests, with explicit run ids, so that it can be made again
(`Tracker.sync`, in any MLflow); no training process ever talks to MLflow. What a child shows is
decided in `cells`, the model registry in `models`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pipelines.execution.job import Progress
from pipelines.planning.memory import remember, spec_digest
from pipelines.planning.plan import Cell, Plan
from pipelines.results.tables import experiment_tables
from pipelines.results.values import Row, Table
from pipelines.specs.dataset import TASKS
from pipelines.store.digests import digest
from pipelines.store.provenance import provenance
from pipelines.store.store import Store
from pipelines.views.formats import render
from pipelines.views.ranks import rank_chart
from pipelines.views.tracking.cells import CellRun, log_chart
from pipelines.views.tracking.metrics import metric_name
from pipelines.views.tracking.models import Registry
from pipelines.views.tracking.robustness import log_robustness
from pipelines.views.tracking.server import (
    VIEW,
    VIEW_TAG,
    Experiment,
    connect,
    missing,
    tracking_uri,
)

__all__ = ["Tracker", "connect", "tracking_uri"]
NOTE_LENGTH = 5000
"""How much of the tables a run's description holds."""


class Tracker:
    """Writes an experiment's runs; what is there already is left alone.

    `counts` says what was done: cells "logged", cells and "models" that were new, "known" ones.
    """

    def __init__(self, plan: Plan, store: Store, uri: str | None = None) -> None:
        self._plan, self._store = plan, store
        self.uri = uri or tracking_uri(store)
        self._logged: set[str] = set()
        self._models: dict[str, str] = {}
        self._experiment: Experiment | None = None
        self._parent = ""
        self.counts: Counter[str] = Counter()

    def prepare(self) -> None:
        """Remember the experiment, and connect before any training, unless all is logged."""
        remember(self._plan, self._store)
        if not self.known:
            self.connect()

    def sync(self, report: Progress) -> Counter[str]:
        """Write all that the store holds of the experiment, whatever was logged before."""
        self.known = False
        self.connect()
        remember(self._plan, self._store)
        for done, cell in enumerate(self._plan.cells):
            report(done, len(self._plan.cells), cell.title)
            self._log(cell)
        present = {cell.task for cell in self._plan.cells}
        tasks = tuple(task for task in TASKS if task in present)
        self.log_tables(experiment_tables(self._plan, self._store, tasks))
        log_robustness(self._plan, self._store, self, again=True)
        return self.counts

    def log_finished(self) -> None:
        """Log every cell that has finished since the last call."""
        if not self.known:
            for cell in self._plan.cells:
                self._log(cell)

    def log_tables(self, tables: Sequence[Table]) -> None:
        """Put the tables and the report beside the parent run, and end it."""
        if self.known:
            return
        self.log_finished()
        client = self.connect().client
        ended = max((cell.ended for cell in self._finished()), default=_now())
        known = client.get_run(self._parent).data.metrics
        for table in tables:
            for form, suffix in (("md", "md"), ("csv", "csv"), ("json", "json")):
                name = f"tables/{table.name}.{suffix}"
                client.log_text(self._parent, render(table, form), name)  # type: ignore[arg-type]
            if (chart := rank_chart(table)) is not None:
                log_chart(client, self._parent, chart, f"tables/{table.name}-ranks.png")
            for row in table.rows:
                self._log_row(table, row, known, ended)
        spec = self._plan.experiment
        client.log_dict(self._parent, spec.model_dump(mode="json"), "experiment.json")
        self.log_report(self._store.root / "reports" / f"{spec.name}.html")
        note = "\n\n".join(render(table, "md") for table in tables)
        client.set_tag(self._parent, "mlflow.note.content", note[:NOTE_LENGTH])
        done = all(cell.result.key in self._logged for cell in self._plan.cells)
        client.set_terminated(self._parent, "FINISHED" if done else "FAILED", ended)
        if done:
            self._note.parent.mkdir(exist_ok=True)
            self._note.write_text(self._state(), encoding="utf-8")

    def log_report(self, page: Path) -> None:
        """Put the report beside the parent run, if it has been written."""
        if page.is_file():
            self.connect().client.log_artifact(self._parent, str(page), "report")

    @property
    def parent(self) -> str:
        """The experiment's run, once `connect` has found or made it."""
        return self._parent

    @property
    def _note(self) -> Path:
        """Remembers what is in this MLflow: connecting to it costs seconds."""
        spec = spec_digest(self._plan.experiment)
        return self._store.root / "tracked" / f"{self._plan.digest}-{digest([self.uri, spec])[:8]}"

    def _state(self) -> str:
        """Return what a note says when every cell has been logged as it is now."""
        found = (self._store.manifest(cell.result) for cell in self._plan.cells)
        return json.dumps([VIEW, self.uri, digest([m and m.digest for m in found])])

    @cached_property
    def known(self) -> bool:
        """Whether all cells were finished, and in this MLflow, when first asked."""
        note = self._note
        noted = note.is_file() and note.read_text("utf-8") == self._state()
        return noted and not missing(self.uri)

    def _finished(self) -> Iterator[CellRun]:
        for cell in self._plan.cells:
            if self._store.manifest(cell.result) is not None:
                yield CellRun(self._plan.experiment, cell, self._store)

    def _log_row(self, table: Table, row: Row, known: Mapping[str, float], moment: int) -> None:
        """Log a row's means as metrics of the parent, so that experiments can be compared."""
        from mlflow.entities import Metric

        metrics = []
        unit, wanted = (1, table.columns) if table.task == "scoring" else (100, ("mAP50", "mIoU"))
        # "table/" keeps these apart from the children's own metrics, whose unit they share.
        place = table.name.replace(table.task, "table", 1)
        for column, value in zip(table.columns, row.values, strict=True):
            name = metric_name(f"{place}/{column}/{row.label.strip()}")
            if row.kind != "ours" or value is None or column not in wanted:
                continue
            if known.get(name) != value.mean / unit:
                metrics.append(Metric(name, value.mean / unit, moment, 0))
        if metrics:
            self.connect().client.log_batch(self._parent, metrics=metrics)

    def connect(self) -> Experiment:
        """Connect, which costs seconds, and find or make the parent run.

        Raises InputError when there is no MLflow at the tracking URI.
        """
        if self._experiment is None:
            self._experiment = Experiment(self.uri, self._plan.experiment.name)
            self._parent = self._find_parent(self._experiment)
        return self._experiment

    def _find_parent(self, experiment: Experiment) -> str:
        spec, cells = self._plan.experiment, list(self._finished())
        newest = max(cells, key=lambda cell: cell.ended).manifest.model_dump() if cells else None
        origin = newest or provenance()
        tags = {
            "fuse_then.kind": "experiment",
            "fuse_then.commit": origin["commit"],
            "fuse_then.command": origin["command"],
        }
        begun = min([cell.begun for cell in cells], default=_now())
        # The spec alone, not the cells: detect, segment and compare share their parent.
        return experiment.run(spec_digest(spec), spec.name, tags, begun)[0]

    def _log(self, cell: Cell) -> None:
        """Log a cell that has finished, and its fusion network as soon as that has."""
        if cell.result.key in self._logged:
            return
        model = self._register(cell)
        if self._store.manifest(cell.result) is None:
            return
        shown = CellRun(self._plan.experiment, cell, self._store)
        experiment = self.connect()
        # Made again with another result, a cell is another run.
        identity = f"{self._parent}/{cell.result.key}/{str(shown.manifest.digest)[:8]}"
        tags = {"mlflow.parentRunId": self._parent, **shown.tags}
        run, complete = experiment.run(identity, shown.name, tags, shown.begun)
        if not complete:
            shown.write(experiment.client, run, model, {VIEW_TAG: VIEW})
        self.counts["known" if complete else "logged"] += 1
        self._logged.add(cell.result.key)

    def _register(self, cell: Cell) -> str | None:
        """Return the id of the cell's trained network in the registry, None when it has none."""
        stage = cell.steps[0].stages[0]
        if not cell.trains_fusion or (manifest := self._store.manifest(stage)) is None:
            return None
        if stage.key not in self._models:
            registry = Registry(self.connect(), self._parent)
            folder = self._store.directory(stage)
            model, new = registry.register(cell.method.row, stage, manifest, folder)
            self.counts["models"] += new
            self._models[stage.key] = model
        return self._models[stage.key]


def _now() -> int:
    return int(time.time() * 1000)
