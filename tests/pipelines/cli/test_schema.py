"""The schemas for editors accept what is shipped, and mark what `loading` would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipelines.cli.app import main
from pipelines.cli.assets.schema import dataset_schema, experiment_schema

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL: dict[str, Any] = {
    "name": "mine",
    "methods": ["average", {"use": "lkc_funet-tiny", "label": "ours"}],
    "detection": {"dataset": "mine.yaml", "epochs": 2},
}


def errors(schema: dict[str, Any], data: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(data)]


@pytest.mark.parametrize("kind", ["experiment", "dataset"])
def test_every_shipped_file_fits(kind: str) -> None:
    schema = experiment_schema() if kind == "experiment" else dataset_schema()
    Draft202012Validator.check_schema(schema)
    files = sorted((CONFIGS / f"{kind}s").glob("*.yaml"))
    assert files
    found = {file.name: errors(schema, yaml.safe_load(file.read_text())) for file in files}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "change",
    [
        {"sedes": [0]},
        {"methods": []},
        {"methods": [{"label": "neither name nor use"}]},
        {"detection": {"dataset": "mine.yaml", "epochs": 0}},
        {"detection": {"dataset": "mine.yaml", "epoch": 3, "epochs": 2}},
        {"detection": {"epochs": 2}},
        {"detection": {"dataset": {"name": "x", "layout": "no-such"}, "epochs": 2}},
    ],
)
def test_what_would_be_refused_is_marked(change: dict[str, Any]) -> None:
    schema = experiment_schema()
    assert errors(schema, SMALL) == []
    assert errors(schema, {**SMALL, **change}) != []


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "dataset"]) == 0
    assert json.loads(capsys.readouterr().out) == dataset_schema()
    assert main(["schema", "method"]) == 2
