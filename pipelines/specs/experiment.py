"""An experiment as frozen, fully checked data: YAML in, nothing unknown, nothing implicit."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from detection.datasets import M3FD_CLASSES
from fusion.errors import InputError, did_you_mean
from fusion.perturb import KINDS, Modality, Perturbation
from pipelines.specs.grid import expand_grid
from segmentation.datasets import MSRS_CLASSES

Layout = Literal["m3fd", "yolo", "msrs", "pairs"]
Task = Literal["detection", "segmentation", "scoring"]
TASKS: tuple[Task, ...] = ("detection", "segmentation", "scoring")
Metric = Literal[
    "SD", "AG", "SF", "SCD", "VIFF", "SSIM", "EN", "MI", "MSE", "CC", "PSNR", "Qabf"
]  # fmt: skip
"""As `fusion.quality.METRICS` has them, which costs seconds to import."""

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

    A folder name that contains ``{split}`` means that the dataset comes split into folders, and
    ``{part}`` that it joins several `parts`: the pair 007 of the part CT is called CT-007.
    """

    name: str
    layout: Layout
    root: LocalPath | None = None
    scenes: SceneSpec | None = None
    infrared: str
    visible: str
    labels: str | None = None
    parts: tuple[str, ...] = ()
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
        self._check_parts()
        return self

    def _check_parts(self) -> None:
        named = ["{part}" in folder for folder in (self.infrared, self.visible)]
        if any(named) != bool(self.parts):
            raise ValueError('parts and "{part}" in infrared or visible need each other')
        if self.parts and self.layout != "pairs":
            raise ValueError("only layout pairs may have parts")
        if len({part.casefold() for part in self.parts}) != len(self.parts):
            raise ValueError("parts names one part twice")
        strange = [part for part in self.parts if not part or set(part) & set("-/\\")]
        if strange:
            raise ValueError(f'the part "{strange[0]}" must be a word without "-" and "/"')

    @property
    def comes_split(self) -> bool:
        """Whether the split is given by folders."""
        return "{split}" in self.infrared

    @property
    def test_alone(self) -> DatasetSpec:
        """The test folders as a dataset of their own, if the dataset comes split, else all of it.

        What only looks at test images need not fuse the others.
        """
        if not self.comes_split or self.scenes is not None:
            return self
        folders = {
            key: getattr(self, key).replace("{split}", "test") for key in ("infrared", "visible")
        }
        return self.model_copy(update={**folders, "layout": "pairs", "labels": None, "classes": ()})

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
    class_weights: Literal["none", "median_frequency", "root_frequency"] = "none"
    augment: bool = True
    select: Literal["last", "best"] = "last"


class ScoringSpec(Spec):
    """The quality metrics that each method's fused images get, on the test split if there is one.

    `by_part` asks for one table per part of the dataset in place of one for all.
    """

    dataset: DatasetSpec
    metrics: tuple[Metric, ...] = Field(
        default=("SD", "AG", "SF", "SCD", "VIFF", "SSIM"), min_length=1
    )
    convention: Literal["paper", "released"] = "paper"
    by_part: bool = False

    @model_validator(mode="after")
    def _check(self) -> ScoringSpec:
        if len(set(self.metrics)) != len(self.metrics):
            raise ValueError("metrics names one metric twice")
        if self.by_part and not self.dataset.parts:
            raise ValueError(f"by_part: the dataset {self.dataset.name} has no parts")
        return self


Strength = Annotated[float, Field(strict=True)]
"""Strict: true is no number."""


class PerturbSpec(Spec):
    """Disturbances of the test pairs, each kind with its strengths (`fusion.perturb`).

    Networks trained on clean images fuse and look at disturbed ones; nothing is trained again.
    """

    shift: tuple[Strength, ...] = ()
    rotation: tuple[Strength, ...] = ()
    infrared_noise: tuple[Strength, ...] = ()
    visible_darkening: tuple[Strength, ...] = ()
    lost: tuple[Modality, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> PerturbSpec:
        try:
            found = self.perturbations
        except InputError as error:
            raise ValueError(str(error)) from error
        if not found:
            raise ValueError(f"perturb names no strength; give one of {', '.join(KINDS)} a list")
        twice = [one for one in found if found.count(one) > 1]
        if twice:
            raise ValueError(f"{twice[0].kind} lists {twice[0].strength} twice; keep one of them")
        return self

    @property
    def perturbations(self) -> tuple[Perturbation, ...]:
        """Every kind and strength, the weakest of a kind first."""
        return tuple(
            Perturbation(kind, strength)
            for kind in KINDS
            for strength in sorted(getattr(self, kind))
        )


class PaperSpec(Spec):
    """The printed tables that stand beneath ours."""

    detection: str | None = None
    segmentation: str | None = None
    scoring: str | None = None

    @field_validator("detection", "segmentation", "scoring")
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
    scoring: ScoringSpec | None = None
    perturb: PerturbSpec | None = None
    paper: PaperSpec = PaperSpec()
    deviations: tuple[str, ...] = ()
    timeout_hours: float = Field(default=96.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _expand_grids(cls, data: Any) -> Any:
        methods = data.get("methods") if isinstance(data, dict) else None
        if not isinstance(methods, list) or not all(isinstance(m, dict) for m in methods):
            return data
        return {**data, "methods": [point for m in methods for point in expand_grid(m)]}

    @model_validator(mode="after")
    def _check(self) -> ExperimentSpec:
        rows = [method.row for method in self.methods]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if twice:
            raise ValueError(f'two methods are called "{twice[0]}"; give one of them a label')
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise ValueError("seeds must be a list of different whole numbers")
        if not any(getattr(self, task) for task in TASKS):
            raise ValueError("give at least one of detection, segmentation and scoring")
        if self.perturb is not None and not (self.detection or self.segmentation):
            raise ValueError("perturb needs detection or segmentation; scores of images have none")
        for task, spec in (("detection", self.detection), ("segmentation", self.segmentation)):
            if spec is not None and spec.dataset.task != task:
                raise ValueError(
                    f"{task}.dataset is {spec.dataset.name}, whose layout {spec.dataset.layout} "
                    f"has no labels for {task}"
                )
        return self
