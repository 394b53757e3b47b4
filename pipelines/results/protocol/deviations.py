"""Every known way in which a table differs from the paper's, computed from the experiment."""

from __future__ import annotations

from pipelines.results.protocol.controls import control_deviations
from pipelines.results.protocol.networks import network_deviations
from pipelines.results.protocol.settings import compare_settings
from pipelines.results.protocol.stated import Stated, read_stated
from pipelines.specs.dataset import SplitSpec
from pipelines.specs.experiment import ExperimentSpec
from pipelines.specs.tasks import TaskSpec
from pipelines.tasks.task import Task

COLOR_DEVIATION = (
    "Fused images are the fused luminance with the {color} image's Cb and Cr reattached; infrared "
    "is gray, visible is the colour image itself."
)
LUMINANCE = "Images are scored by their luminance, the sources, too."
SPLIT_DEVIATION = (
    "The paper's split of {name} is not published; ours is drawn by seed {seed}, {how} of whole "
    "scenes, because consecutive frames are near-duplicates. One that others published can be "
    "named by its file."
)
DRAWN = "The images are drawn (embedded scenes); they say nothing about the world."


def stated_of(experiment: ExperimentSpec, task: Task) -> Stated | None:
    """Return what the paper states of the table that a task's own stands beside."""
    name = experiment.paper.get(task.key) or task.paper
    return read_stated(name.partition("/")[0]) if name else None


def deviations(
    experiment: ExperimentSpec, task: Task, part: str = "", images: int | None = None
) -> tuple[str, ...]:
    """Return every known way in which a table differs from the paper's protocol.

    `part` is the table's part of the dataset, `images` the number of test images where known.
    """
    spec, stated = experiment.sections[task.name], stated_of(experiment, task)
    found = [*task.deviations(spec)]
    if stated is not None:
        found += compare_settings(spec, stated.settings).sentences()
        found += _images(stated, _printed_part(experiment, task, part), images)
    if task.seeded:
        seeds, race = len(experiment.all_seeds), experiment.race
        often = f"{race.at_least} to {seeds}" if race is not None else str(seeds)
        folds = spec.dataset.split.folds if spec.dataset.split is not None else None
        each = f" for each of {folds} folds" if folds else ""
        trainings = f"{often} training{'s' if seeds > 1 else ''} a row{each}"
        found.append(f"Not stated by the paper, ours: {trainings}.")
    found.append(LUMINANCE if task.per_image else COLOR_DEVIATION.format(color=spec.dataset.color))
    found += control_deviations(experiment, task)
    found += [*_dataset(spec), *network_deviations(experiment, stated), *experiment.deviations]
    return tuple(found)


def _printed_part(experiment: ExperimentSpec, task: Task, part: str) -> str:
    return part or (experiment.paper.get(task.key) or "").partition("/")[2]


def _images(stated: Stated, part: str, images: int | None) -> list[str]:
    wanted = stated.images.get(part)
    if wanted is None or images in (None, wanted):
        return []
    return [f"Test images: {images} (paper: {wanted})."]


def _dataset(spec: TaskSpec) -> list[str]:
    dataset, found = spec.dataset, []
    drawn = dataset.labels or dataset.split  # else there is no split at all: all pairs are scored
    if dataset.scenes is not None:
        found.append(DRAWN)
    elif drawn and not dataset.comes_split and not (dataset.split and dataset.split.file):
        split = dataset.split or SplitSpec()
        how = ":".join(map(str, split.ratios))
        if split.folds is not None:
            how = f"{split.folds} folds that test every image once, each"
        found.append(SPLIT_DEVIATION.format(name=dataset.name, seed=split.seed, how=how))
    return [*found, *dataset.notes]
