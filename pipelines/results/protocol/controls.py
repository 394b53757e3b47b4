"""Rows that fuse nothing, as the paper has none: what stands in the place of fused images."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.specs.experiment import ExperimentSpec
from pipelines.tasks.task import Task

STACKED = (
    "{rows}: a control that is not in the paper; one network sees four channels, RGB and infrared "
    "({how}; a first layer that is given for three gets the mean of them as a fourth, and all are "
    "scaled by 3/4)."
)
JOINED = (
    "{rows}: a control that is not in the paper; networks of their own see {sources}, and what "
    "they find is joined: {how}."
)


def control_deviations(experiment: ExperimentSpec, task: Task) -> Iterator[str]:
    """Yield how the rows without fused images are made; of scores there are none."""
    if task.per_image:
        return
    stacked = [m.row for m in experiment.methods if not (m.makes_images or m.joined)]
    if stacked:
        yield STACKED.format(rows=", ".join(stacked), how=task.stacking)
    for method in experiment.methods:
        if method.joined:
            sources = " and ".join(one.row for one in method.joined)
            yield JOINED.format(rows=method.row, sources=sources, how=task.joining)
