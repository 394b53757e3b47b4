"""From YAML and --set to a spec: named parts put in place, and every misfit one sentence."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from fusion.errors import InputError, did_you_mean
from fusion.opening import is_file, read_text
from pipelines.specs.base import Spec, said
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.experiment import ExperimentSpec, experiment_model
from pipelines.specs.method import MethodSpec
from pipelines.specs.tasks import sections
from pipelines.specs.values.grid import MOST_POINTS
from pipelines.specs.values.seeds import AS_LIST, AS_RACE
from pipelines.specs.yaml_text import MOST_BYTES, parse_yaml

SHOWN = 200
"""Of what stood on the command line so many characters are repeated."""
WRITTEN = ("grid", "use")
"""Keys of a method in a file that are gone once it is read."""


def config_path(kind: str, name: str) -> Path:
    """Return the file of ``configs/<kind>/<name>.yaml``, shipped or given as a path.

    Raises InputError for a name that is neither.
    """
    given = Path(name).expanduser()
    if given.suffix in (".yaml", ".yml"):
        if is_file(given):
            return given
        shipped = Path(str(resources.files("configs"))) / kind / given.name
        if given.parts[:1] == ("configs",) and is_file(shipped):
            return shipped
        raise InputError(f"The file {given} does not exist; check the path.")
    folder = Path(str(resources.files("configs"))) / kind
    path = folder / f"{name}.yaml"
    if not is_file(path):
        known = [file.stem for file in folder.glob("*.yaml")]
        raise InputError(f'There is no "{name}" in configs/{kind}.{did_you_mean(name, known)}')
    return path


def load_experiment(name: str, overrides: dict[str, Any] | None = None) -> ExperimentSpec:
    """Read an experiment's YAML, put named datasets and methods in place, apply `overrides`.

    `overrides` maps dotted keys to values, ``{"detection.epochs": 2}``; list items are numbers.
    Raises InputError with file, key and value for everything that does not fit.
    """
    path = config_path("experiments", name)
    data = _resolved(read_yaml(path), path)
    for key, value in (overrides or {}).items():
        _assign(data, key, value)
    # Again: an override may name a dataset or a method, too.
    spec = validate(experiment_model(), _resolved(data, path), path)
    return spec.asked_for_by(words_of(name, overrides))


def load_dataset(name: str, overrides: dict[str, Any] | None = None) -> DatasetSpec:
    """Read a dataset's YAML from configs/datasets or a path, and apply dotted `overrides`."""
    path = config_path("datasets", name)
    data = read_yaml(path)
    for key, value in (overrides or {}).items():
        _assign(data, key, value)
    return validate(DatasetSpec, data, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; InputError names the file and line of what is not one."""
    data = parse_yaml(read_text(path, MOST_BYTES), str(path))
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a mapping of keys to values; see configs/experiments.")
    return data


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """Turn ``["a.b=3"]`` into ``{"a.b": 3}``; values are read as YAML."""
    result: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InputError(
                f'"--set {item[:SHOWN]}" is not of the form key=value; write --set a.b=c.'
            )
        result[key] = parse_yaml(value, f'The value of "--set {item[:SHOWN]}"')
    return result


S = TypeVar("S", bound=Spec)


def words_of(experiment: str, overrides: Mapping[str, Any] | None) -> list[str]:
    """Return an experiment and its overrides as the words of a command line."""
    parts = [experiment]
    for key, value in (overrides or {}).items():
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
        parts += ["--set", f"{key}={text.removesuffix('...').strip()}"]
    return parts


def validate(kind: type[S], data: dict[str, Any], path: Path) -> S:
    """Build `kind` from `data`, or raise InputError naming `path`, key and value."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A misspelt key is often a missing one, too; the misspelling says more.
        found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise InputError(f"{path}: {_sentence(found[0], kind)}") from error


def _sentence(error: Any, kind: type[Spec]) -> str:
    place = tuple(part for part in error["loc"] if part not in (AS_RACE, AS_LIST))
    where = ".".join(map(str, place))
    if error["type"] == "extra_forbidden":
        known = _keys_beside(kind, place)
        return f'the key "{where}" is unknown.{did_you_mean(str(place[-1]), known)}'
    if error["type"] == "missing":
        return f'the key "{where}" is missing; add it.'
    message = said(error)
    given = (
        f" (it is {repr(error['input'])[:SHOWN]})"
        if isinstance(error["input"], str | int | float)
        else ""
    )
    return f'"{where}"{given}: {message}.' if where else f"{message}."


def _keys_beside(kind: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the fields of the model that `location`'s last key was given to."""
    model = kind
    for part in location[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return [*model.model_fields, *(WRITTEN if model is MethodSpec else ())]


def _model_in(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [part for part in get_args(annotation) if part not in (type(None), Ellipsis)]
    return _model_in(inner[0])


def _resolved(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put the contents of named methods and datasets in the place of their names."""
    methods = data.get("methods") or []
    if not isinstance(methods, list):
        raise InputError(f'{path}: "methods" must be a list, a method an item; write "- NAME".')
    if len(methods) > MOST_POINTS:
        raise InputError(
            f"{path} lists {len(methods):,} methods; at most {MOST_POINTS:,} are taken."
        )
    data["methods"] = [_method(entry) for entry in methods]
    for part in [*(data.get(task) for task in sections()), *_trainings(data)]:
        if isinstance(part, dict) and isinstance(part.get("dataset"), str):
            part["dataset"] = read_yaml(config_path("datasets", part["dataset"]))
    return data


def _method(entry: Any) -> dict[str, Any]:
    """Return a method's mapping: a shipped config's, a bare name's, or the entry itself."""
    if isinstance(entry, str):
        folder = Path(str(resources.files("configs"))) / "methods"
        shipped = folder / f"{entry}.yaml"
        if entry.endswith((".yaml", ".yml")) or is_file(shipped):
            return read_yaml(config_path("methods", entry))
        return {"name": entry}
    if isinstance(entry, dict) and "use" in entry:
        rest = {key: value for key, value in entry.items() if key != "use"}
        return {**read_yaml(config_path("methods", str(entry["use"]))), **rest}
    if not isinstance(entry, dict):
        raise InputError(
            f'methods holds "{str(entry)[:SHOWN]}", which is neither a name nor a mapping.'
        )
    return copy.deepcopy(entry)  # YAML anchors share what --set may change in one row


def _trainings(data: dict[str, Any]) -> list[Any]:
    trained = [*data["methods"], data.get("reconstruction")]
    return [part.get("train") for part in trained if isinstance(part, dict)]


def _assign(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``data["a"]["b"]`` for "a.b"; intermediate keys must exist."""
    *path, last = dotted.split(".")
    place: Any = data
    try:
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(
            f'"--set {dotted}=..." names no place in this file; write the keys as they '
            f"stand there, list items as numbers (methods.0.params)."
        ) from error
