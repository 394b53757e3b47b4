"""The stages of cells that cannot run yet, as they would be if what they lack were there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fusion.errors import InputError
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.planning.plan import Plan
from pipelines.planning.planner import Planner, points
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.stage import Stage, stage_of
from pipelines.store.store import Store
from pipelines.tasks.facts import Facts, local_of
from pipelines.tasks.inputs import INDEX


def blocked_stages(plan: Plan, store: Store) -> dict[str, Stage]:
    """Return the stages of a plan's blocked cells by title, shared ones once.

    They are for measuring only: keys are not those that the stages will have. Cells that cannot
    even be imagined, such as those of an unknown method, have none.
    """
    blocked = {title for title, _ in plan.blocked}
    planner = Planner(_opened, Facts(store.digests))
    found: dict[str, Stage] = {}
    for task, method, seed, fold in points(plan.tasks, plan.experiment):
        if task.per_image and not method.makes_images:
            continue
        # What weights hold is no matter here, and they may be what is missing.
        bare = method.model_copy(update={"checkpoint": None})
        try:
            cell, _ = planner.cell(plan.experiment, bare, task, seed, fold)
            asked = planner.perturbations(plan.experiment, cell)
            cells = [cell, *(planner.perturbed(plan.experiment, cell, how) for how in asked)]
        except InputError:
            continue
        if cell.title in blocked:
            found |= {stage.title: stage for one in cells for stage in one.stages}
    return found


def _opened(spec: DatasetSpec) -> tuple[Dataset, Stage]:
    """Return a dataset, without any images where it is not there, and an index that nobody made."""
    no_names = dict.fromkeys(("train", "val", "test"), ())
    try:
        dataset = open_dataset(spec)
        dataset = replace(dataset, splits=dataset.splits or no_names)
    except InputError:
        dataset = Dataset(spec, {}, {}, no_names)
    facts = {"pairs": "", "split": "", "dataset": spec.model_dump(mode="json")}
    return dataset, stage_of(INDEX, facts, local=local_of(dataset))


def own_stages(plan: Plan) -> Iterator[Stage]:
    """Yield the stages that a plan will make, each once, those of disturbed pairs last."""
    cells = (*plan.cells, *plan.perturbed)
    yield from {stage.title: stage for cell in cells for stage in cell.stages}.values()
