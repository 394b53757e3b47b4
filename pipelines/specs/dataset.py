"""A dataset as an experiment names it: a layout, its folders, its split."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from detection.datasets import M3FD_CLASSES
from pipelines.specs.base import LocalPath, Spec
from segmentation.datasets import MSRS_CLASSES

Layout = Literal["m3fd", "yolo", "msrs", "pairs"]

Task = Literal["detection", "segmentation", "scoring"]
TASKS: tuple[Task, ...] = ("detection", "segmentation", "scoring")

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
