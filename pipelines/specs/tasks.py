"""A task's section of an experiment, and where the tasks are found.

A task is one file in `pipelines/tasks`, found by its name as fusion methods are, so that nothing
here knows any of them: specs stay below the code that does what they ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

from pipelines.specs.base import Spec
from pipelines.specs.dataset import DatasetSpec

HOME = "pipelines.tasks.task"


class TaskSpec(Spec):
    """What every section names: the dataset that a task looks at, once it is fused."""

    labels_for: ClassVar[str | None] = None
    """The task whose labels the dataset must have, as layouts name it; None where it needs none."""
    dataset: DatasetSpec


def sections() -> Mapping[str, type[TaskSpec]]:
    """Return each task's section by the task's name, in the order of the tables."""
    found: Mapping[str, type[TaskSpec]] = import_module(HOME).sections()
    return found
