"""Trained fusion networks in MLflow's model registry: one version per distinct weights.

A version carries the checkpoint, no code: `pipelines.views.tracking.pyfunc` loads it, where this
package is installed.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.results.finished import FinishedStage
from pipelines.views.tracking.metrics import VALUE_LENGTH
from pipelines.views.tracking.server import Experiment

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel

WEIGHTS, MODEL = "fuse_then.weights", "fuse_then.model"
"""Tags of a version: the digest of its weights, and the model that it is of."""
LOADER = "pipelines.views.tracking.pyfunc"
CONFIG = {"device": "cpu"}
"""What ``load_model(..., model_config=...)`` may change."""
DESCRIPTION = """Trained by fuse-then, which must be installed to load it.

    fused = mlflow.pyfunc.load_model("models:/{name}/VERSION").predict(
        {{"infrared": infrared, "visible": visible}})

infrared: uint8, H x W. visible: uint8, H x W x 3 (RGB). fused: uint8, H x W x 3, or H x W when the
visible image has no colour."""


LONGEST_NAME = 200


def registered_name(row: str) -> str:
    """Return ``fuse-then-ROW``: "LKC-FUNet (tiny)" becomes fuse-then-LKC-FUNet-tiny."""
    return "fuse-then-" + re.sub(r"[^\w-]+", "-", row).strip("-")[:LONGEST_NAME]


class Registry:
    """Registers networks of one experiment; what is registered is left alone."""

    def __init__(self, experiment: Experiment, parent: str) -> None:
        self._client, self._experiment, self._parent = experiment.client, experiment.id, parent

    def register(self, row: str, training: FinishedStage) -> tuple[str, bool]:
        """Return the id of the model with the weights of a training, and whether it is new.

        A model whose upload was interrupted is uploaded again under its id.
        """
        from mlflow.entities import LoggedModelStatus

        stage, manifest = training.stage, training.manifest
        name, weights = registered_name(row), manifest.digest
        query = f"name = '{name}' and tags.`{WEIGHTS}` = '{weights}'"
        versions = self._client.search_model_versions(query)
        if versions:
            return str(versions[0].tags[MODEL]), False
        facts = {"method": stage.spec["method"], **stage.spec["params"]}
        model = self._model(name, weights, facts)
        if model.status != LoggedModelStatus.READY:
            self._upload(model, training.folder / "weights.pt", facts)
        if not self._client.search_registered_models(f"name = '{name}'"):
            self._client.create_registered_model(name, description=DESCRIPTION.format(name=name))
        self._client.create_model_version(
            name,
            model.artifact_location,
            self._parent,
            tags={
                **{WEIGHTS: weights, MODEL: model.model_id},
                **{"method": row, "fuse_then.commit": manifest.commit},
            },
            description=f"{row}, {stage.title}: {manifest.metrics.get('epochs', '?')} epochs",
            model_id=model.model_id,
        )
        return str(model.model_id), True

    def _model(self, name: str, weights: str, facts: Mapping[str, Any]) -> LoggedModel:
        """Find or make the entry of these weights in this experiment, an output of its parent."""
        from mlflow.entities import LoggedModelOutput

        client, query = self._client, f"tags.`{WEIGHTS}` = '{weights}' AND name = '{name}'"
        found = client.search_logged_models([self._experiment], query)
        model = found[0] if found else None
        if model is None:
            params = {key: str(value)[:VALUE_LENGTH] for key, value in facts.items()}
            tags = {WEIGHTS: weights}
            model = client.create_logged_model(
                self._experiment, name, self._parent, tags, params, "fusion network"
            )
        outputs = client.get_run(self._parent).outputs
        if model.model_id not in {output.model_id for output in outputs.model_outputs}:
            client.log_outputs(self._parent, [LoggedModelOutput(model.model_id, 0)])
        return model

    def _upload(self, model: LoggedModel, weights: Path, facts: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="fuse-then-model-") as folder:
            _save(Path(folder), weights, self._parent, model.model_id, facts)
            self._client.log_model_artifacts(model.model_id, folder)
        self._client.finalize_logged_model(model.model_id, "READY")


def _save(folder: Path, weights: Path, run: str, model: str, facts: Mapping[str, Any]) -> None:
    """Write what ``mlflow.pyfunc.save_model`` writes for a loader module, but its guesses.

    It would start a process to find out which packages the model needs, and importing it costs
    seconds.
    """
    from mlflow.models import Model

    (folder / "data").mkdir()
    shutil.copyfile(weights, folder / "data" / "weights.pt")
    packages = [f"{name}=={metadata.version(name)}" for name in ("fuse-then", "mlflow")]
    (folder / "requirements.txt").write_text("\n".join(packages) + "\n", encoding="utf-8")
    described = Model(run_id=run, model_id=model, signature=_signature(), metadata=dict(facts))
    described.add_flavor(
        "python_function",
        loader_module=LOADER,
        data="data/weights.pt",
        config=CONFIG,
        python_version=platform.python_version(),
        env={},
    )
    described.save(str(folder / "MLmodel"))


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    levels = np.dtype(np.uint8)
    infrared = TensorSpec(levels, (-1, -1), "infrared")
    visible = TensorSpec(levels, (-1, -1, 3), "visible")
    return ModelSignature(Schema([infrared, visible]), Schema([TensorSpec(levels, (-1, -1, 3))]))
