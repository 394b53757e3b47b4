"""A dataset as an experiment names it: a layout, its folders, its split."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from fusion.errors import InputError
from pipelines.specs.base import LocalPath, Spec
from pipelines.specs.layout import Layout, layout_names, layout_of, layouts_that
from pipelines.specs.values.names import Name, Names
from pipelines.specs.values.seeds import Seed


def _known(name: str) -> str:
    try:
        layout_of(name)
    except InputError as error:
        raise ValueError(str(error)) from error
    return name


LayoutName = Annotated[str, AfterValidator(_known)]


MOST_SCENES, LARGEST_SCENE = 100_000, 4096
MOST_CLASSES = 1000


class SceneSpec(Spec):
    """The embedded scenes to draw: how many, how large (pixels), from which seed."""

    train: int = Field(ge=1, le=MOST_SCENES)
    val: int = Field(default=0, ge=0, le=MOST_SCENES)
    test: int = Field(ge=1, le=MOST_SCENES)
    height: int = Field(default=160, ge=96, le=LARGEST_SCENE)
    width: int = Field(default=208, ge=96, le=LARGEST_SCENE)
    seed: Seed = 0


class SplitSpec(Spec):
    """Train, validation and test: a file of names, or ratios drawn by seed over whole scenes.

    With `folds` every image is tested once, in one of so many trainings; a `fold`, from 0, chooses
    one of them, and `validated` takes its validation images out of train.
    """

    file: LocalPath | None = None
    ratios: tuple[int, int, int] = (8, 1, 1)
    seed: Seed = 0
    folds: int | None = Field(default=None, ge=2, le=20)
    fold: int | None = Field(default=None, ge=0)
    validated: bool = False

    @model_validator(mode="after")
    def _check(self) -> SplitSpec:
        if min(self.ratios) < 0 or not self.ratios[0] or not self.ratios[2]:
            raise ValueError("ratios must be three whole numbers, train and test above 0")
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"fold {self.fold} is none of folds: {self.folds}, counted from 0")
        return self


class DatasetSpec(Spec):
    """Aligned pairs with or without labels; folders are relative to `root`.

    A folder name that contains ``{split}`` means that the dataset comes split into folders, and
    ``{part}`` that it joins several `parts`: the pair 007 of the part CT is called CT-007.

    Test images that are `near_duplicates` of each other count as one scene where it is said how
    sure a result is. They are as the split file says, else found by their thumbnails; "none" are
    in a dataset of single pictures, and a file names those that somebody knows.
    """

    name: Name
    layout: LayoutName
    root: LocalPath | None = None
    scenes: SceneSpec | None = None
    infrared: str
    visible: str
    labels: str | None = None
    parts: Names = Field(default=(), max_length=MOST_CLASSES)
    classes: Names = Field(default=(), max_length=MOST_CLASSES)
    color: Literal["visible", "infrared"] = "visible"
    split: SplitSpec | None = None
    near_duplicates: Literal["found", "none"] | LocalPath = "found"
    notes: tuple[str, ...] = ()
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_layout(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "layout" not in data:
            return data
        name = data["layout"]
        # Of an unknown layout it is said that it is unknown, not that folders are missing.
        layout = layout_of(name) if name in layout_names() else Layout()
        return {**layout.defaults, **data}

    @model_validator(mode="after")
    def _check(self) -> DatasetSpec:
        if (self.root is None) == (self.scenes is None):
            raise ValueError("give either root (a folder) or scenes (the embedded dataset)")
        folders = [self.infrared, self.visible, *([self.labels] if self.labels else [])]
        if len({"{split}" in folder for folder in folders}) > 1:
            raise ValueError('either all of infrared, visible and labels hold "{split}" or none')
        if self.scenes is not None and not layout_of(self.layout).drawn:
            drawn = layouts_that(lambda other: other.drawn)
            raise ValueError(f"scenes are drawn in no layout {self.layout}; take one of {drawn}")
        if self.split is not None and self.split.folds is not None and self.comes_split:
            raise ValueError("split.folds: the dataset comes split into folders; put them into one")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names one class twice")
        self._check_labels(layout_of(self.layout))
        self._check_parts(layout_of(self.layout))
        return self

    def _check_labels(self, layout: Layout) -> None:
        if layout.task is None and self.labels is not None:
            having = layouts_that(lambda other: other.task is not None)
            raise ValueError(f"layout {self.layout} has no labels; take one of {having}")
        if layout.task is not None and not self.classes:
            raise ValueError(f"layout {self.layout} needs classes: {layout.classes_are}")

    def _check_parts(self, layout: Layout) -> None:
        named = ["{part}" in folder for folder in (self.infrared, self.visible)]
        if any(named) != bool(self.parts):
            raise ValueError('parts and "{part}" in infrared or visible need each other')
        if self.parts and not layout.joins_parts:
            may = layouts_that(lambda other: other.joins_parts)
            raise ValueError(f"only layout {may} may have parts")
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
    def task(self) -> str | None:
        """The task that the labels serve."""
        return layout_of(self.layout).task if self.labels is not None else None
