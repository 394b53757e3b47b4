"""An experiment as frozen, fully checked data: YAML in, nothing unknown, nothing implicit."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from fusion.errors import did_you_mean
from pipelines.specs.base import Spec
from pipelines.specs.dataset import TASKS
from pipelines.specs.grid import expand_grid
from pipelines.specs.method import MethodSpec
from pipelines.specs.perturbation import PerturbSpec
from pipelines.specs.tasks import DetectionSpec, ScoringSpec, SegmentationSpec


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
