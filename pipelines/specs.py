"""An experiment as frozen, fully checked data: YAML in, nothing unknown, nothing implicit."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from detection.datasets import M3FD_CLASSES
from fusion.errors import InputError, did_you_mean
from segmentation.datasets import MSRS_CLASSES

Layout = Literal["m3fd", "yolo", "msrs", "pairs"]
Task = Literal["detection", "segmentation"]
TASKS: tuple[Task, ...] = ("detection", "segmentation")

LAYOUTS: dict[str, dict[str, Any]] = {
    "m3fd": {"infrared": "Ir", "visible": "Vis", "labels": "Annotation", "classes": M3FD_CLASSES},
    "msrs": {
        "infrared": "{split}/ir",
        "visible": "{split}/vi",
        "labels": "{split}/Segmentation_labels",
        "classes": MSRS_CLASSES,
    },
    "yolo": {"infrared": "infrared", "visible": "visible", "labels": "labels"},
    "pairs": {"infrared": "infrared", "visible": "visible"},
}


def _expand(value: Any) -> Any:
    """Replace ``~`` and ``$NAME`` in a path; a variable that is not set is an error."""
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(os.path.expanduser(value))  # noqa: PTH111 - the text may hold both
    if "$" in text:
        name = text.split("$", 1)[1].strip("{").split("}")[0].split("/")[0]
        raise ValueError(
            f'"{value}" uses the environment variable {name}, which is not set; '
            f"set it to the folder that holds your data, or give a full path"
        )
    return text


LocalPath = Annotated[Path, BeforeValidator(_expand)]


class Spec(BaseModel):
    """Frozen, and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SceneSpec(Spec):
    """The embedded scenes to draw: how many, how large (pixels), from which seed."""

    train: int = Field(ge=1)
    val: int = Field(default=0, ge=0)
    test: int = Field(ge=1)
    height: int = Field(default=160, ge=96)
    width: int = Field(default=208, ge=96)
    seed: int = 0


class SplitSpec(Spec):
    """Train, validation and test: a file of names, or ratios drawn by seed over whole scenes."""

    file: LocalPath | None = None
    ratios: tuple[int, int, int] = (8, 1, 1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> SplitSpec:
        if min(self.ratios) < 0 or not self.ratios[0] or not self.ratios[2]:
            raise ValueError("ratios must be three whole numbers, train and test above 0")
        return self


class DatasetSpec(Spec):
    """Aligned pairs with or without labels; folders are relative to `root`.

    A folder name that contains ``{split}`` means that the dataset comes split into folders.
    """

    name: str
    layout: Layout
    root: LocalPath | None = None
    scenes: SceneSpec | None = None
    infrared: str
    visible: str
    labels: str | None = None
    classes: tuple[str, ...] = ()
    color: Literal["visible", "infrared"] = "visible"
    split: SplitSpec | None = None
    notes: tuple[str, ...] = ()
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_layout(cls, data: Any) -> Any:
        known = LAYOUTS.get(str(data.get("layout")), {}) if isinstance(data, dict) else {}
        return {**known, **data} if known else data

    @model_validator(mode="after")
    def _check(self) -> DatasetSpec:
        if (self.root is None) == (self.scenes is None):
            raise ValueError("give either root (a folder) or scenes (the embedded dataset)")
        folders = [self.infrared, self.visible, *([self.labels] if self.labels else [])]
        if len({"{split}" in folder for folder in folders}) > 1:
            raise ValueError('either all of infrared, visible and labels hold "{split}" or none')
        if self.layout == "pairs" and self.labels is not None:
            raise ValueError("layout pairs has no labels; take m3fd, yolo or msrs")
        if self.layout == "yolo" and not self.classes:
            raise ValueError("layout yolo needs classes: a list of names in the order of the ids")
        return self

    @property
    def comes_split(self) -> bool:
        """Whether the split is given by folders."""
        return "{split}" in self.infrared

    @property
    def task(self) -> Task | None:
        """The task that the labels serve."""
        if self.labels is None:
            return None
        return "segmentation" if self.layout == "msrs" else "detection"


class FusionTrainingSpec(Spec):
    """How a fusion network is trained; epochs count passes over the training pairs."""

    dataset: DatasetSpec
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=32, ge=1)
    crop: int = Field(default=64, ge=8)
    crops_per_image: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    mixed_precision: bool = False
    seed: int | None = None
    """Fixed seed; without it the network is trained once per seed of the experiment."""


class MethodSpec(Spec):
    """One row of the tables: a fusion method with its parameters and weights."""

    name: str
    label: str = ""
    params: dict[str, Any] = {}
    checkpoint: LocalPath | None = None
    train: FusionTrainingSpec | None = None

    @model_validator(mode="after")
    def _check(self) -> MethodSpec:
        if self.checkpoint and self.train:
            raise ValueError("give either checkpoint or train, not both")
        taken = sorted(self.params.keys() & {"name", "checkpoint", "device"})
        if taken:
            raise ValueError(f'"{taken[0]}" is no parameter; write it beside params, not in it')
        return self

    @field_validator("params")
    @classmethod
    def _expand_folder(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "folder": _expand(params["folder"])} if "folder" in params else params

    @property
    def row(self) -> str:
        """The row's title, unique within an experiment."""
        return self.label or self.name


class DetectionSpec(Spec):
    """The detector that is retrained on each method's images, and its budget."""

    dataset: DatasetSpec
    model: Literal["yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x"] = "yolov5s"
    image_size: int = Field(default=640, ge=32, multiple_of=32)
    epochs: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    optimizer: Literal["SGD", "Adam", "AdamW"] = "SGD"
    learning_rate: float = Field(default=0.01, gt=0, le=1)
    final_learning_rate: float = Field(default=0.01, ge=0, le=1)
    nominal_batch: int = Field(default=64, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    initial_checkpoint: LocalPath | None = None
    select: Literal["last", "best"] = "last"
    mosaic: float = Field(default=1.0, ge=0, le=1)
    close_mosaic: int = Field(default=10, ge=0)
    warmup_epochs: float = Field(default=3.0, ge=0)


class SegmentationSpec(Spec):
    """The segmenter that is retrained on each method's images, and its budget."""

    dataset: DatasetSpec
    architecture: Literal["DeepLabV3", "DeepLabV3Plus"] = "DeepLabV3"
    encoder: str = "resnet50"
    encoder_checkpoint: LocalPath | None = None
    height: int = Field(default=480, ge=32, multiple_of=16)
    width: int = Field(default=640, ge=32, multiple_of=16)
    epochs: int = Field(ge=1)
    batch: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["constant", "poly"] = "constant"
    class_weights: Literal["none", "median_frequency"] = "none"
    augment: bool = True
    select: Literal["last", "best"] = "last"


class PaperSpec(Spec):
    """The printed tables that stand beneath ours."""

    detection: str | None = None
    segmentation: str | None = None

    @field_validator("detection", "segmentation")
    @classmethod
    def _on_file(cls, name: str | None) -> str | None:
        folder = Path(str(resources.files("configs"))) / "paper"
        known = [path.stem for path in folder.glob("*.csv")]
        if name is not None and name not in known:
            raise ValueError(f'there is no "{name}" in configs/paper.{did_you_mean(name, known)}')
        return name


class ExperimentSpec(Spec):
    """A comparison: methods x tasks x seeds; its name becomes a folder."""

    name: str = Field(pattern=r"^\w[\w .-]*$")
    methods: tuple[MethodSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    detection: DetectionSpec | None = None
    segmentation: SegmentationSpec | None = None
    paper: PaperSpec = PaperSpec()
    deviations: tuple[str, ...] = ()
    timeout_hours: float = Field(default=96.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> ExperimentSpec:
        rows = [method.row for method in self.methods]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if twice:
            raise ValueError(f'two methods are called "{twice[0]}"; give one of them a label')
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds must be a list of different whole numbers")
        if self.detection is None and self.segmentation is None:
            raise ValueError("give detection, segmentation, or both")
        for task, spec in (("detection", self.detection), ("segmentation", self.segmentation)):
            if spec is not None and spec.dataset.task != task:
                raise ValueError(
                    f"{task}.dataset is {spec.dataset.name}, whose layout {spec.dataset.layout} "
                    f"has no labels for {task}"
                )
        return self


def config_path(kind: str, name: str) -> Path:
    """Return the file of ``configs/<kind>/<name>.yaml``, shipped or given as a path.

    Raises InputError for a name that is neither.
    """
    given = Path(name).expanduser()
    if given.suffix in (".yaml", ".yml"):
        if given.is_file():
            return given
        shipped = Path(str(resources.files("configs"))) / kind / given.name
        if given.parts[:1] == ("configs",) and shipped.is_file():
            return shipped
        raise InputError(f"The file {given} does not exist; check the path.")
    folder = Path(str(resources.files("configs"))) / kind
    path = folder / f"{name}.yaml"
    if not path.is_file():
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
    return validate(ExperimentSpec, _resolved(data, path), path)


def load_dataset(name: str, overrides: dict[str, Any] | None = None) -> DatasetSpec:
    """Read a dataset's YAML from configs/datasets or a path, and apply dotted `overrides`."""
    path = config_path("datasets", name)
    data = read_yaml(path)
    for key, value in (overrides or {}).items():
        _assign(data, key, value)
    return validate(DatasetSpec, data, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; InputError names the file and line of what is not one."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file in UTF-8; save it as one.") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML: {where}; correct it.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold a mapping of keys to values; see configs/experiments.")
    return data


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """Turn ``["a.b=3"]`` into ``{"a.b": 3}``; values are read as YAML."""
    result: dict[str, Any] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise InputError(f'"--set {item}" is not of the form key=value; write --set a.b=c.')
        try:
            result[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f'The value of "--set {item}" is not valid YAML.') from error
    return result


S = TypeVar("S", bound=Spec)


def validate(kind: type[S], data: dict[str, Any], path: Path) -> S:
    """Build `kind` from `data`, or raise InputError naming `path`, key and value."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        # A misspelt key is often a missing one, too; the misspelling says more.
        found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise InputError(f"{path}: {_sentence(found[0], kind)}") from error


def _sentence(error: Any, kind: type[Spec]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_beside(kind, error["loc"])
        return f'the key "{where}" is unknown.{did_you_mean(str(error["loc"][-1]), known)}'
    if error["type"] == "missing":
        return f'the key "{where}" is missing; add it.'
    message = error["msg"].removeprefix("Value error, ").removesuffix(".")
    given = f" (it is {error['input']!r})" if isinstance(error["input"], str | int | float) else ""
    return f'"{where}"{given}: {message}.' if where else f"{message}."


def _keys_beside(kind: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Return the fields of the model that `location`'s last key was given to."""
    model = kind
    for part in location[:-1]:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation)
    return list(model.model_fields)


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
    data["methods"] = [_method(entry) for entry in methods]
    for part in [data.get("detection"), data.get("segmentation"), *_trainings(data["methods"])]:
        if isinstance(part, dict) and isinstance(part.get("dataset"), str):
            part["dataset"] = read_yaml(config_path("datasets", part["dataset"]))
    return data


def _method(entry: Any) -> dict[str, Any]:
    """Return a method's mapping: a shipped config's, a bare name's, or the entry itself."""
    if isinstance(entry, str):
        folder = Path(str(resources.files("configs"))) / "methods"
        shipped = folder / f"{entry}.yaml"
        if entry.endswith((".yaml", ".yml")) or shipped.is_file():
            return read_yaml(config_path("methods", entry))
        return {"name": entry}
    if isinstance(entry, dict) and "use" in entry:
        rest = {key: value for key, value in entry.items() if key != "use"}
        return {**read_yaml(config_path("methods", str(entry["use"]))), **rest}
    if not isinstance(entry, dict):
        raise InputError(f'methods holds "{entry}", which is neither a name nor a mapping.')
    return dict(entry)


def _trainings(methods: list[dict[str, Any]]) -> list[Any]:
    return [method.get("train") for method in methods]


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
