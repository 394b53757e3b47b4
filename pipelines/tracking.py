"""MLflow as a view of the store: one parent run per experiment, one child per finished cell.

Everything here is made from manifests, with explicit run ids, so that it can be made again; no
training process ever talks to MLflow.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.errors import InputError
from pipelines.digests import digest
from pipelines.plan import Cell, Plan
from pipelines.provenance import provenance
from pipelines.ranks import rank_figure
from pipelines.renderers import render
from pipelines.rows import Row, Table
from pipelines.store import Stage, Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

IDENTITY = "fuse_then.id"
PICTURES = ("samples.png", "samples", "precision_recall.png", "confusion.png", "history.csv")
VALUE_LENGTH, NOTE_LENGTH = 500, 5000
"""What MLflow takes in a parameter and in a tag."""


def tracking_uri(store: Store) -> str:
    """Return ``$MLFLOW_TRACKING_URI``, or a SQLite database inside the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow.db'}"


def connect(uri: str) -> MlflowClient:
    """Return a client that neither phones home nor talks about its tables."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


class Tracker:
    """Writes an experiment's runs; what is there already is left alone."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._logged: set[str] = set()
        self._client: MlflowClient | None = None
        self._experiment = self._parent = ""

    def prepare(self) -> None:
        """Connect before any training, unless these very cells have been logged before."""
        if not self._known():
            self.connect()

    def log_finished(self) -> None:
        """Log every cell that has finished since the last call."""
        if self._known():
            return
        for cell in self._plan.cells:
            if cell.result.key not in self._logged:
                manifest = self._store.manifest(cell.result)
                if manifest is not None:
                    self._log_cell(cell, manifest)
                    self._logged.add(cell.result.key)

    def log_tables(self, tables: Sequence[Table]) -> None:
        """Put the tables beside the parent run, and end it."""
        if self._known():
            return
        self.log_finished()
        client = self.connect()
        known = client.get_run(self._parent).data.metrics
        for table in tables:
            for form, suffix in (("md", "md"), ("csv", "csv"), ("json", "json")):
                name = f"tables/{table.name}.{suffix}"
                client.log_text(self._parent, render(table, form), name)  # type: ignore[arg-type]
            if (figure := rank_figure(table)) is not None:
                client.log_figure(self._parent, figure, f"tables/{table.name}-ranks.png")
            for row in table.rows:
                self._log_row(table, row, known)
        note = "\n\n".join(render(table, "md") for table in tables)
        client.set_tag(self._parent, "mlflow.note.content", note[:NOTE_LENGTH])
        done = all(cell.result.key in self._logged for cell in self._plan.cells)
        client.set_terminated(self._parent, "FINISHED" if done else "FAILED")
        if done:
            self._note.parent.mkdir(exist_ok=True)
            self._note.write_text(tracking_uri(self._store), encoding="utf-8")

    @property
    def _note(self) -> Path:
        """Remembers that these very cells are in MLflow: connecting to it costs seconds."""
        return self._store.root / "tracked" / self._plan.digest

    def _known(self) -> bool:
        uri = tracking_uri(self._store)
        database = Path(uri.removeprefix("sqlite:///"))
        gone = uri.startswith("sqlite:///") and not database.exists()
        return not gone and self._note.is_file() and self._note.read_text("utf-8") == uri

    def _log_row(self, table: Table, row: Row, known: Mapping[str, float]) -> None:
        """Log a row's means as metrics of the parent, so that experiments can be compared."""
        from mlflow.entities import Metric

        now, metrics = int(time.time() * 1000), []
        unit, wanted = (1, table.columns) if table.task == "scoring" else (100, ("mAP50", "mIoU"))
        # "table/" keeps these apart from the children's own metrics, whose unit they share.
        place = table.name.replace(table.task, "table", 1)
        for column, value in zip(table.columns, row.values, strict=True):
            name = _metric_name(f"{place}/{column}/{row.label.strip()}")
            if row.kind != "ours" or value is None or column not in wanted:
                continue
            if known.get(name) != value.mean / unit:
                metrics.append(Metric(name, value.mean / unit, now, 0))
        if metrics:
            self.connect().log_batch(self._parent, metrics=metrics)

    def connect(self) -> MlflowClient:
        """Connect, which costs seconds, and find or make the parent run.

        Raises InputError when there is no MLflow at the tracking URI.
        """
        if self._client is None:
            from mlflow.exceptions import MlflowException

            uri = tracking_uri(self._store)
            self._client = connect(uri)
            try:
                self._experiment = self._find_experiment(self._client, uri)
            except MlflowException as error:
                raise InputError(
                    f"There is no MLflow at {uri}; start it, or unset MLFLOW_TRACKING_URI to keep "
                    f"the runs in the store."
                ) from error
            spec = self._plan.experiment
            facts = provenance()
            tags = {"fuse_then.commit": facts["commit"], "fuse_then.command": facts["command"]}
            # The spec alone, not the cells: detect, segment and compare share their parent.
            self._parent, _ = self._find_run(
                digest(spec.model_dump(mode="json"))[:16],
                spec.name,
                {**tags, "fuse_then.kind": "experiment"},
            )
        return self._client

    def _find_experiment(self, client: MlflowClient, uri: str) -> str:
        name = f"fuse-then/{self._plan.experiment.name}"
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = uri.startswith("sqlite:")
        folder = (self._store.root / "mlartifacts" / self._plan.experiment.name).as_uri()
        return str(client.create_experiment(name, folder if local else None))

    def _find_run(
        self, identity: str, name: str, tags: Mapping[str, str], start: int | None = None
    ) -> tuple[str, bool]:
        """Return the run that carries `identity`, and whether it had to be made.

        `start` is in milliseconds since 1970, by default now.
        """
        client = self._client
        if client is None:
            raise RuntimeError("the tracker is not connected")
        query = f"tags.`{IDENTITY}` = '{identity}'"
        runs = client.search_runs([self._experiment], query, max_results=1)
        if runs:
            return str(runs[0].info.run_id), False
        source = {"mlflow.source.name": "fuse-then", "mlflow.source.type": "PROJECT"}
        facts = {IDENTITY: identity, **source, **tags}
        run = client.create_run(self._experiment, start, facts, name)
        return str(run.info.run_id), True

    def _log_cell(self, cell: Cell, manifest: Mapping[str, Any]) -> None:
        client = self.connect()
        tags = {
            "mlflow.parentRunId": self._parent,
            "method": cell.method.row,
            "task": cell.task,
            "seed": str(cell.seed),
            "dataset": getattr(self._plan.experiment, cell.task).dataset.name,
            "fuse_then.kind": "cell",
            "fuse_then.stage": cell.result.title,
            "fuse_then.commit": manifest["commit"],
            "fuse_then.command": manifest["command"],
        }
        # The task comes first: the list of runs cuts long names at their end.
        name = f"{cell.result.kind} {cell.method.row} s{cell.seed}"
        begun = _milliseconds(manifest["started"]) - 1000 * round(self._seconds(cell))
        run, made = self._find_run(f"{self._parent}/{cell.result.key}", name, tags, begun)
        if made or client.get_run(run).info.status != "FINISHED":
            self._fill(run, cell, manifest)

    def _fill(self, run: str, cell: Cell, manifest: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        client = self.connect()
        now = _milliseconds(manifest["started"]) + round(1000 * manifest["seconds"])
        seconds = self._seconds(cell) + manifest["seconds"]
        numbers = {**dict(_metrics(cell, manifest["metrics"])), "seconds": seconds}
        metrics = [Metric(_metric_name(k), v, now, 0) for k, v in numbers.items()]
        params = [Param(k, str(v)[:VALUE_LENGTH]) for k, v in self._params(cell).items()]
        client.log_batch(run, metrics=metrics, params=params)
        self._log_dataset(run, cell)
        for stage in cell.stages:
            self._log_artifacts(run, stage)
        client.set_terminated(run, "FINISHED", now)

    def _seconds(self, cell: Cell) -> float:
        """Return the seconds spent on a cell before its last stage."""
        before = [stage for stage in cell.stages if stage is not cell.result]
        return float(sum(m["seconds"] for s in before if (m := self._store.manifest(s))))

    def _params(self, cell: Cell) -> dict[str, Any]:
        spec = getattr(self._plan.experiment, cell.task).model_dump(mode="json")
        dataset = spec.pop("dataset")
        train = cell.method.train
        fusion = train.model_dump(exclude={"dataset"}) if train else {}
        return {
            "method": cell.method.row,
            "method.name": cell.method.name,
            "task": cell.task,
            "seed": cell.seed,
            "dataset": dataset["name"],
            **{f"method.{key}": value for key, value in cell.method.params.items()},
            **{f"fusion_training.{key}": value for key, value in fusion.items()},
            **{f"{cell.task}.{key}": value for key, value in spec.items()},
        }

    def _log_dataset(self, run: str, cell: Cell) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        index = cell.result.inputs["index"]
        name = getattr(self._plan.experiment, cell.task).dataset.name
        source = str(index.local["dataset"]["root"])
        dataset = Dataset(name, index.key, "local", source)
        tag = InputTag("mlflow.data.context", cell.task)
        self.connect().log_inputs(run, datasets=[DatasetInput(dataset, [tag])])

    def _log_artifacts(self, run: str, stage: Stage) -> None:
        client, folder = self.connect(), self._store.directory(stage)
        for path in _existing(folder, (*PICTURES, "manifest.json")):
            if path.is_dir():
                client.log_artifacts(run, str(path), f"{stage.kind}/{path.name}")
            else:
                client.log_artifact(run, str(path), stage.kind)


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _existing(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    return (path for name in names if (path := folder / name).exists())


def _metrics(cell: Cell, metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of a cell's scores; absent classes have none.

    AP and IoU are 0..1, quality metrics in their own units.
    """
    means: dict[str, float | None]
    groups: dict[str, dict[str, float | None]] = {}
    if cell.task == "scoring":
        means = {name: found["mean"] for name, found in metrics["metrics"].items()}
    elif cell.task == "detection":
        means = {"mAP50": metrics["mAP50"], "mAP50-95": metrics["mAP"]}
        groups = {"AP50": metrics["AP50"], "AP50-95": metrics["AP"]}
    else:
        means = {"mIoU": metrics["miou"], "mIoU_foreground": metrics["miou_foreground"]}
        groups = {"IoU": metrics["iou"]}
    per_class = {
        f"{group}/{name}": v for group, values in groups.items() for name, v in values.items()
    }
    yield from ((k, float(v)) for k, v in {**means, **per_class}.items() if v is not None)


def _metric_name(name: str) -> str:
    """Return `name` with the characters that MLflow refuses replaced."""
    return "".join(c if c.isalnum() or c in "_-. /" else "-" for c in name)
