"""The command that prints JSON schemas, with which an editor completes keys and marks slips.

They come from the models that check the files; what `loading` and `dataset` put in place before
that (names of datasets and methods, folders of a layout, grids) is allowed here as it is written.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from fusion.registry import method_modules
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.experiment import experiment_model
from pipelines.specs.layout import layout_names

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def experiment_schema() -> Schema:
    """Return the JSON schema of an experiment's YAML."""
    schema = experiment_model().model_json_schema()
    kinds = schema["$defs"]
    _as_written(kinds["DatasetSpec"])
    for name, kind in kinds.items():
        dataset = kind.get("properties", {}).get("dataset")
        if dataset is not None:
            kind["properties"]["dataset"] = _or_name(dataset, f"{name}: a dataset's name or YAML")
    method = kinds["MethodSpec"]
    method["properties"] |= {
        "name": {"type": "string", "examples": sorted(method_modules())},
        "use": {"type": "string", "description": "A shipped row or a YAML; other keys change it."},
        "grid": {
            "type": "object",
            "description": "Rows at every point: keys of the method, each with a list of values.",
            "additionalProperties": {"type": "array"},
        },
    }
    method["anyOf"] = [{"required": [key]} for key in ("name", "use")]
    del method["required"]
    items = schema["properties"]["methods"]["items"]
    schema["properties"]["methods"]["items"] = _or_name(items, "A method, a shipped row or a YAML.")
    return {"$schema": DIALECT, **schema}


def dataset_schema() -> Schema:
    """Return the JSON schema of a dataset's YAML."""
    schema = DatasetSpec.model_json_schema()
    _as_written(schema)
    return {"$schema": DIALECT, **schema}


def _as_written(dataset: Schema) -> None:
    """Let a layout fill in what it knows."""
    dataset["properties"]["layout"]["enum"] = layout_names()
    dataset["required"] = ["name", "layout"]


def _or_name(schema: Schema, what: str) -> Schema:
    return {"anyOf": [{"type": "string", "description": what}, schema]}


def schema(
    kind: Annotated[
        Literal["experiment", "dataset"], Parameter(help="Which kind of YAML it describes.")
    ],
    /,
) -> int:
    """Print the JSON schema of a YAML, with which an editor completes its keys."""
    found = experiment_schema() if kind == "experiment" else dataset_schema()
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0
