"""A task's section of an experiment, and where the tasks are found.

A task is one file in `pipelines/tasks`, found by its name as fusion methods are, so that nothing
here knows any of them: specs stay below the code that does what they ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import product
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from fusion.errors import did_you_mean
from pipelines.specs.base import Spec, said
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.values.grid import check_points, readable

HOME = "pipelines.tasks.task"
NO_PATHS = str.maketrans("/\\", "__")


class TaskSpec(Spec):
    """What every section names: the dataset that a task looks at, once it is fused.

    ``grid: {KEY: [VALUE, ...]}`` makes one table for each point of the grid, whose values take the
    place of the section's own.
    """

    labels_for: ClassVar[str | None] = None
    """The task whose labels the dataset must have, as layouts name it; None where it needs none."""
    dataset: DatasetSpec
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)

    @property
    def points(self) -> dict[str, Self]:
        """The section at each point of its grid, by the point's words; itself by "" without one."""
        found: dict[str, Self] = {}
        for values in product(*self.grid.values()):
            point = dict(zip(self.grid, values, strict=True))
            words = (v if isinstance(v, str) else f"{k}={readable(v)}" for k, v in point.items())
            # The words become part of files' names.
            found[" ".join(words).translate(NO_PATHS)] = self._at(point)
        return found

    def _at(self, point: Mapping[str, Any]) -> Self:
        return type(self).model_validate({**dict(self), **point, "grid": {}}) if point else self

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        check_points(self.grid.values(), "grid")
        known = [key for key in type(self).model_fields if key not in ("dataset", "grid")]
        for key, values in self.grid.items():
            if key not in known:
                raise ValueError(f'grid has the key "{key}", no setting.{did_you_mean(key, known)}')
            if not values or len({repr(value) for value in values}) < len(values):
                raise ValueError(f"grid.{key} must be a list of one value or more, all different")
            for value in values:
                try:
                    self._at({key: value})
                except ValidationError as error:
                    raise ValueError(
                        f"grid.{key} (it holds {value!r}): {said(error.errors()[0])}"
                    ) from error
        for values in product(*self.grid.values()):  # together they may not fit either
            self._at(dict(zip(self.grid, values, strict=True)))
        return self


def sections() -> Mapping[str, type[TaskSpec]]:
    """Return each task's section by the task's name, in the order of the tables."""
    found: Mapping[str, type[TaskSpec]] = import_module(HOME).sections()
    return found
