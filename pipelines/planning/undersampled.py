"""How cells of undersampled pairs are planned: a network is trained, slices are reconstructed."""

from __future__ import annotations

from collections.abc import Callable

from fusion.errors import InputError
from fusion.reconstruction.undersampling import Undersampling
from pipelines.datasets.dataset import Dataset
from pipelines.execution.runner import Step
from pipelines.planning.plan import Cell
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.reconstruction import ReconstructionSpec
from pipelines.store.stage import Stage
from pipelines.tasks import reconstruction
from pipelines.tasks.facts import Facts

Open = Callable[[DatasetSpec], tuple[Dataset, Stage]]
"""Returns a dataset that has been checked, and its index stage, or raises InputError."""


def undersampled_steps(
    clean: Cell, how: Undersampling, spec: ReconstructionSpec, opened: Open, known: Facts
) -> tuple[Step, ...]:
    """Return the steps that train what reconstructs, reconstruct, and fuse and score."""
    network = _training(spec, opened, known) if how.reconstruction == "cmd" else None
    slices, *scored = reconstruction.undersampled_stages(clean.result, how, network, known)
    title = f"{clean.task.verb} {clean.method.row} on {how.reconstruction} images"
    steps = (
        Step(f"reconstruct {how.label}", (slices,)),
        Step(f"{title} ({clean.lot})", tuple(scored)),
    )
    if network is None:
        return steps
    return Step(f"train {how.reconstruction}", (network,)), *steps


def _training(spec: ReconstructionSpec, opened: Open, known: Facts) -> Stage | None:
    if spec.train is None:
        return None
    dataset, index = opened(spec.train.dataset)
    if not dataset.splits:
        raise InputError(
            f'cmd is to be trained on "{dataset.spec.name}", which has no split; give the dataset '
            f"split.ratios, split.file, or folders per split."
        )
    return reconstruction.training_stage(spec, spec.train, dataset, index, known)


def undersampled_checks(clean: Cell, spec: ReconstructionSpec, opened: Open) -> tuple[Stage, ...]:
    """Return the checks to pass before anything of a clean cell is undersampled.

    Raises InputError for a cell of a fold: the network would have learnt from what it tests.
    """
    if clean.fold is not None:
        raise InputError(
            "reconstruction trains one network for all test pairs, and the dataset is tested by "
            "folds; give the dataset a split without folds."
        )
    tested = reconstruction.slices_check(spec, clean.result.inputs["index"])
    if spec.train is None:
        return (tested,)
    _, index = opened(spec.train.dataset)
    return tested, reconstruction.training_check(spec, spec.train, index)
