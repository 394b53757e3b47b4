"""What the run of a cell shows: scores, curves, parameters, data, the network, pictures, files.

Every value and every time stamp comes from manifests and files of the store, so that writing a run
twice writes the same things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fusion.errors import without_folders
from pipelines.execution.usage import COLUMNS
from pipelines.results.finished import FinishedCell, FinishedStage
from pipelines.store.stage import Manifest, Stage
from pipelines.store.store import Store
from pipelines.tasks.fusion import FUSE, TRAIN
from pipelines.tasks.scoring import SCORES
from pipelines.views.stage_charts import stage_charts
from pipelines.views.tracking.metrics import VALUE_LENGTH, curve, metric_name, thinned

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

    from pipelines.views.charts.theme import Chart

FILES = ("samples.png", "samples", SCORES, "manifest.json")
BATCH = 1000
"""What MLflow takes in a parameter, and at once."""


class CellRun:
    """One finished cell as an MLflow run."""

    def __init__(self, finished: FinishedCell) -> None:
        self._finished = finished
        self._cell, self._spec = finished.cell, finished.spec

    @property
    def manifest(self) -> Manifest:
        """The manifest that holds the scores."""
        return self._finished.result.manifest

    @property
    def name(self) -> str:
        """The task comes first: the list of runs cuts long names at their end."""
        fold = f" f{self._cell.fold.number + 1}" if self._cell.fold else ""
        return f"{self._cell.result.kind.name} {self._cell.method.row} s{self._cell.seed}{fold}"

    @property
    def begun(self) -> int:
        """When the cell would have begun, had its stages followed one another, in ms since 1970."""
        seconds = sum(stage.manifest.seconds for stage in self._finished.stages)
        return self.ended - round(1000 * seconds)

    @property
    def ended(self) -> int:
        """When the last stage ended, in ms since 1970."""
        return milliseconds(self.manifest.started) + round(1000 * self._last_seconds)

    @property
    def _last_seconds(self) -> float:
        return float(self.manifest.seconds)

    @property
    def tags(self) -> dict[str, str]:
        """What runs are searched and grouped by."""
        commit = str(self.manifest.commit)
        git = {} if commit.startswith("fuse-then ") else {"mlflow.source.git.commit": commit}
        return {
            **self._identity,
            **git,
            "fuse_then.kind": "cell",
            "fuse_then.stage": self._cell.result.title,
            "fuse_then.commit": commit,
            "fuse_then.command": without_folders(self.manifest.command),
        }

    @property
    def _identity(self) -> dict[str, str]:
        return {
            "method": self._cell.method.row,
            "task": self._cell.task.name,
            "dataset": self._spec.dataset.name,
            "split": split_name(self._cell.result.inputs["index"]),
            "seed": str(self._cell.seed),
            **({"fold": self._cell.fold.label} if self._cell.fold else {}),
        }

    def params(self) -> dict[str, str]:
        """Return all settings under names that sort behind those that tell cells apart.

        The compare page sorts by name: dataset, method, seed, split, task come before the many
        settings, of the task (task.*), the fusion training (train.*), the method (uses.*).
        """
        method = self._cell.method
        train = method.train.model_dump(exclude={"dataset"}) if method.train else {}
        own = {"name": method.name, **method.params, **self._weights()}
        task = self._spec.model_dump(mode="json", exclude={"dataset"})
        settings = {
            **{f"task.{key}": value for key, value in task.items()},
            **{f"train.{key}": value for key, value in train.items()},
            **{f"uses.{key}": value for key, value in own.items()},
        }
        return {
            k: without_folders(str(v))[:VALUE_LENGTH]
            for k, v in {**self._identity, **settings}.items()
        }

    def _weights(self) -> dict[str, str]:
        """Return the first digits of the weights' digest, for a method that has any."""
        for one in self._finished.stages:
            if one.stage.kind.name == TRAIN.name:
                return {"weights": one.manifest.digest[:12]}
            if one.stage.kind.name == FUSE.name and "checkpoint" in one.stage.spec:
                return {"weights": str(one.stage.spec["checkpoint"])[:12]}
        return {}

    def metrics(self) -> Iterator[Metric]:
        """Yield scores, what the cell cost, the curves of its trainings, and system metrics."""
        from mlflow.entities import Metric

        for name, value in {**self._finished.logged, **self._costs()}.items():
            yield Metric(metric_name(name), value, self.ended, 0)
        for one in self._finished.stages:
            kind, begun = self._place(one), milliseconds(one.manifest.started)
            for epoch, share, values in curve(one.epochs):
                moment = begun + round(1000 * one.manifest.seconds * share)
                for name, value in values.items():
                    yield Metric(metric_name(f"{kind}/{name}"), value, moment, epoch)
            for step, sample in enumerate(thinned(one.samples)):
                moment = begun + round(1000 * sample["seconds"])
                for name in COLUMNS[1:]:
                    yield Metric(f"system/{kind}/{name}", sample[name], moment, step)

    def _place(self, one: FinishedStage) -> str:
        """Return what a stage's numbers and files stand under: its kind.

        Where two networks are joined, it is said of which of them a stage is.
        """
        kind, fused = str(one.stage.kind.name), one.stage.inputs.get("fused", one.stage)
        if not self._cell.method.joined or one.stage.key == self._cell.result.key:
            return kind
        return f"{kind}-{fused.spec['method']}"

    def _costs(self) -> dict[str, float]:
        """Return sums and peaks over the stages; "system/" is where MLflow looks for such."""
        known = [one.manifest for one in self._finished.stages]
        costs = {"system/seconds": float(sum(manifest.seconds for manifest in known))}
        for key, over in (("cpu_seconds", sum), ("peak_memory_megabytes", max)):
            numbers = [getattr(manifest, key) for manifest in known]
            if numbers := [number for number in numbers if number is not None]:
                costs[f"system/{key}"] = float(over(numbers))
        return costs

    def datasets(self) -> list[DatasetInput]:
        """Return the data that the cell rests on: of which split, where it lies, its digest."""
        index = self._cell.result.inputs["index"]
        found = [self._input(index, "test", "evaluation", index.key)]
        trained = self._cell.task.histories
        if any(one.stage.kind.name in trained for one in self._finished.stages):
            found.append(
                self._input(index, "train", f"training: {self._cell.task.name}", index.key)
            )
        for one in self._finished.stages:
            if one.stage.kind.name == TRAIN.name:
                digest = str(one.stage.spec["pairs"]["train"])[:16]
                found.append(self._input(one.stage, "train", "training: fusion", digest))
        return found

    def _input(self, stage: Stage, split: str, context: str, digest: str) -> DatasetInput:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        spec = stage.local["dataset"]
        source = json.dumps({"uri": str(spec["root"])})
        profile = {"split": split, "layout": spec["layout"], "classes": len(spec["classes"])}
        whole = not spec.get("split") and "{split}" not in spec["infrared"]
        name = spec["name"] if whole else f"{spec['name']}/{split}"
        named = Dataset(name, digest, "local", source, profile=json.dumps(profile))
        return DatasetInput(named, [InputTag("mlflow.data.context", context)])

    def files(self, store: Store) -> Iterator[tuple[str, Path]]:
        """Yield pictures, histories and manifests with the folder that they are shown in."""
        title = f"{self._cell.method.row}, {self._cell.lot}"
        for one in self._finished.stages:
            kind = self._place(one)
            for chart in stage_charts(one.stage, store, title):
                yield kind, chart
            for name in (*FILES, *([one.history.file] if one.history else [])):
                path = one.folder / name
                if path.is_dir():
                    yield f"{kind}/{path.name}", path
                elif path.exists():
                    yield kind, path

    def write(
        self,
        client: MlflowClient,
        run: str,
        model: str | None,
        marks: Mapping[str, str],
        store: Store,
    ) -> None:
        """Fill an MLflow run, and end it, when it gets the tags `marks`.

        `model` is the id of the registered network that fused the images.
        """
        from mlflow.entities import LoggedModelInput, Param, RunTag

        metrics = list(self.metrics())
        params = [Param(key, value) for key, value in self.params().items()]
        client.log_batch(run, params=params)
        for first in range(0, len(metrics), BATCH):
            client.log_batch(run, metrics=metrics[first : first + BATCH])
        models = [LoggedModelInput(model)] if model is not None else []
        client.log_inputs(run, self.datasets(), models)
        for place, path in self.files(store):
            if path.is_dir():
                client.log_artifacts(run, str(path), place)
            else:
                client.log_artifact(run, str(path), place)
        tags = {**self.tags, **marks}
        client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])
        client.set_terminated(run, "FINISHED", self.ended)


def log_chart(client: MlflowClient, run: str, chart: Chart, file: str) -> None:
    """Write a chart as PNG among a run's files, under ``folder/name.png``."""
    from pipelines.views.charts.theme import png

    with TemporaryDirectory() as folder:
        path = Path(folder, Path(file).name)
        path.write_bytes(png(chart))
        client.log_artifact(run, str(path), str(Path(file).parent))


def milliseconds(moment: str) -> int:
    """Return an ISO time in milliseconds since 1970, as MLflow counts."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def split_name(index: Stage) -> str:
    """Return how a dataset is split, with the first digits of who is where."""
    spec = index.local["dataset"]
    split = spec.get("split") or {}
    if "{split}" in spec.get("infrared", ""):
        how = "folders"
    else:
        how = Path(split["file"]).name if split.get("file") else "all pairs"
    return f"{how} {str(index.spec.get('split', ''))[:8]}".strip()
