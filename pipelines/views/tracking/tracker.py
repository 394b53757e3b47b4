"""MLflow as a view of the store: one parent run per experiment, one child per finished cell.

Everything here is made from manifests, with explicit run ids, so that it can be made again
(`Tracker.sync`, in any MLflow); no training process ever talks to MLflow. What a child shows is
decided in `cells`, the model registry in `models`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fusion.errors import without_folders
from fusion.files import write_durably
from pipelines.execution.job import Progress
from pipelines.planning.memory import spec_digest
from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import Results, read_cell, read_stage
from pipelines.results.rounds.reading import results_so_far
from pipelines.results.tables import experiment_evidence
from pipelines.results.undersampled import disturbed_tables
from pipelines.results.values import Row, Table
from pipelines.store.digests import digest
from pipelines.store.provenance import provenance
from pipelines.store.store import Store
from pipelines.tasks.task import task_of
from pipelines.views.formats import Format, render
from pipelines.views.power import race_charts
from pipelines.views.ranks import rank_chart
from pipelines.views.robustness import robustness_charts
from pipelines.views.tracking.cells import CellRun, log_chart
from pipelines.views.tracking.metrics import metric_name
from pipelines.views.tracking.models import Registry
from pipelines.views.tracking.server import (
    VIEW,
    VIEW_TAG,
    Experiment,
    connect,
    missing,
    tracking_uri,
)

__all__ = ["Tracker", "connect", "tracking_uri"]
FORMS: tuple[Format, ...] = ("md", "csv", "json")
NOTE_LENGTH = 5000
"""How much of the tables a run's description holds."""


class Tracker:
    """Writes an experiment's runs; what is there already is left alone.

    `counts` says what was done: cells "logged", cells and "models" that were new, "known" ones, and
    those "missing" that are not finished.
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
        """Connect before any training, unless all is published: what is wrong is told then."""
        if not self.published(results_so_far(self._plan, self._store)):
            self.connect()

    def follow(self, cells: Iterable[Cell]) -> None:
        """Log those of the cells that have finished since the last call, if connected."""
        if self._experiment is not None:
            for cell in cells:
                self._log(cell)

    def published(self, results: Results) -> bool:
        """Whether everything is finished, and `publish` has written just this to this MLflow."""
        note = self._note
        noted = note.is_file() and note.read_bytes() == self._state(results).encode()
        return noted and not missing(self.uri)

    def publish(self, results: Results, tables: Sequence[Table], page: Path) -> None:
        """Write cells, networks, tables, charts and the page, if there is one, unless known."""
        if self.published(results):
            return
        self.connect()
        self.follow(results.plan.cells)
        self._log_tables(results, tables)
        client, spec = self.connect().client, self._plan.experiment
        client.log_dict(self._parent, spec.model_dump(mode="json"), "experiment.json")
        if page.is_file():
            client.log_artifact(self._parent, str(page), "report")
        note = "\n\n".join(render(table, "md") for table in tables)
        client.set_tag(self._parent, "mlflow.note.content", note[:NOTE_LENGTH])
        done = len(results.cells) == len(results.plan.cells)
        client.set_terminated(self._parent, "FINISHED" if done else "FAILED", self._ended(results))
        if results.complete:
            self._note.parent.mkdir(exist_ok=True)
            write_durably(self._note, self._state(results))

    def sync(self, progress: Progress) -> Counter[str]:
        """Write all that the store holds of the experiment, whatever was published before."""
        self._note.unlink(missing_ok=True)
        self.connect()
        results = results_so_far(self._plan, self._store)
        for done, cell in enumerate(results.plan.cells):
            progress(done, len(results.plan.cells), cell.title)
            self._log(cell)
        self.counts["missing"] = len(results.plan.cells) - len(results.cells)
        tables = [one.table for one in experiment_evidence(results)]
        page = self._store.root / "reports" / f"{self._plan.experiment.name}.html"
        self.publish(results, [*tables, *disturbed_tables(results)], page)
        return self.counts

    @property
    def lock(self) -> Path:
        """What is to be locked while one process of many writes."""
        return self._store.root / "locks" / "mlflow"

    @property
    def _note(self) -> Path:
        """Remembers what is in this MLflow: connecting to it costs seconds."""
        spec = spec_digest(self._plan.experiment)
        return self._store.root / "tracked" / f"{self._plan.digest}-{digest([self.uri, spec])[:8]}"

    def _state(self, results: Results) -> str:
        """Return what a note says when everything has been published as it is now."""
        digests = [one.result.manifest.digest for one in (*results.cells, *results.perturbed)]
        return json.dumps([VIEW, self.uri, results.complete, digest(digests)])

    def _ended(self, results: Results) -> int:
        return max((CellRun(one).ended for one in results.cells), default=_now())

    def _log_tables(self, results: Results, tables: Sequence[Table]) -> None:
        client = self.connect().client
        known = client.get_run(self._parent).data.metrics
        for table in tables:
            for form in FORMS:
                name = f"tables/{table.name}.{form}"
                client.log_text(self._parent, render(table, form), name)
            if (chart := rank_chart(table)) is not None:
                log_chart(client, self._parent, chart, f"tables/{table.name}-ranks.png")
            for row in table.rows:
                self._log_row(table, row, known, self._ended(results))
        for name, chart in (*robustness_charts(results), *race_charts(results)):
            log_chart(client, self._parent, chart, f"tables/{name}.png")

    def _log_row(self, table: Table, row: Row, known: Mapping[str, float], moment: int) -> None:
        """Log a row's means as metrics of the parent, so that experiments can be compared."""
        from mlflow.entities import Metric

        metrics, task = [], task_of(table.task)
        unit, wanted = (1, table.columns) if task.per_image else (100, (task.headline,))
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
        spec, results = self._plan.experiment, results_so_far(self._plan, self._store)
        cells = [CellRun(one) for one in results.cells]
        newest = max(cells, key=lambda cell: cell.ended).manifest if cells else None
        origin = newest.model_dump() if newest else provenance()
        tags = {
            "fuse_then.kind": "experiment",
            "fuse_then.commit": origin["commit"],
            "fuse_then.command": without_folders(origin["command"]),
        }
        begun = min([cell.begun for cell in cells], default=_now())
        # The spec alone, not the cells: detect, segment and compare share their parent.
        return experiment.run(spec_digest(spec), spec.name, tags, begun)[0]

    def _log(self, cell: Cell) -> None:
        """Log a cell that has finished, and its fusion network as soon as that has."""
        if cell.result.key in self._logged:
            return
        model = self._register(cell)
        finished = read_cell(cell, self._plan, self._store)
        if finished is None:
            return
        shown = CellRun(finished)
        experiment = self.connect()
        # Made again with another result, a cell is another run.
        identity = f"{self._parent}/{cell.result.key}/{shown.manifest.digest[:8]}"
        tags = {"mlflow.parentRunId": self._parent, **shown.tags}
        run, complete = experiment.run(identity, shown.name, tags, shown.begun)
        if not complete:
            shown.write(experiment.client, run, model, {VIEW_TAG: VIEW}, self._store)
        self.counts["known" if complete else "logged"] += 1
        self._logged.add(cell.result.key)

    def _register(self, cell: Cell) -> str | None:
        """Return the id of the cell's trained network in the registry, None when it has none."""
        stage = cell.trainings[-1].stages[-1] if cell.trains_fusion else None
        if stage is None or (training := read_stage(stage, self._store)) is None:
            return None
        if stage.key not in self._models:
            registry = Registry(self.connect(), self._parent)
            model, new = registry.register(cell.method.row, training)
            self.counts["models"] += new
            self._models[stage.key] = model
        return self._models[stage.key]


def _now() -> int:
    return int(time.time() * 1000)
