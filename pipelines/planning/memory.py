"""The experiments that a store has run, remembered whole, so that they can be shown again.

Each is one file, ``experiments/NAME-DIGEST.json``: the resolved spec, and its cells with their
stages as they were planned. Nothing that a plan needs otherwise is asked for again: neither the
datasets, nor the code of the methods as it was then.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fusion.errors import InputError
from fusion.files import write_durably
from fusion.locks import lock_file
from pipelines.execution.runner import Step
from pipelines.planning.plan import Cell, Fold, Plan
from pipelines.specs.experiment import ExperimentSpec, experiment_model
from pipelines.specs.perturbation import disturbance
from pipelines.store.digests import digest
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import Store
from pipelines.tasks.task import task_of

FOLDER = "experiments"
NOTHING: dict[str, Any] = {"cells": [], "stages": {}}
LATER: tuple[tuple[str, Any], ...] = (
    *(("near_duplicates", "found"), ("folds", None), ("fold", None), ("validated", False)),
    *(("pretrain", None), ("pretrained", None), ("grid", {})),
)
"""Keys that were added later, with the values that change nothing."""


def spec_digest(spec: ExperimentSpec) -> str:
    """Return sixteen hex digits that identify a resolved experiment, whatever its data hold."""
    # Experiments of before there were such keys keep their identity.
    later = ("perturb", "reconstruction", "seed_variance")
    absent = {key for key in later if getattr(spec, key) is None}
    return digest(_known_before(spec.model_dump(mode="json", exclude=absent)))[:16]


def _known_before(value: Any) -> Any:
    """Return plain values without the keys that say what was so before there were such keys."""
    if isinstance(value, list):
        return [_known_before(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: own for key, own in value.items() if (key, own) not in LATER}
    return {key: _known_before(own) for key, own in kept.items()}


def remember(plan: Plan, store: Store) -> Path:
    """Write a plan to ``experiments/NAME-DIGEST.json``, unless it is there; return the path.

    Cells of tasks that this plan is not about (`detect` after `compare`) are kept as they are.
    """
    spec = plan.experiment
    path = store.root / FOLDER / f"{spec.name}-{spec_digest(spec)}.json"
    path.parent.mkdir(exist_ok=True)
    with lock_file(path.parent / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = (_read(path, store.say) if path.is_file() else None) or NOTHING
        told = _told(plan, before)
        if told != before:
            write_durably(path, json.dumps(told, indent=1))
    return path


def recall(store: Store) -> list[Plan]:
    """Return the plans of all remembered experiments, by name; one that is damaged is left out.

    Raises InputError for a file that this version cannot read.
    """
    paths = sorted((store.root / FOLDER).glob("*.json"))
    contents = [(path, _read(path, store.say)) for path in paths]
    return [_plan(path, content) for path, content in contents if content is not None]


def _told(plan: Plan, before: dict[str, Any]) -> dict[str, Any]:
    """Return what is written of a plan, with those cells of `before` that are not its own."""
    tasks = {cell.task.name for cell in plan.cells}
    stages = dict(before["stages"])
    for cell in (*plan.cells, *plan.perturbed):
        for stage in cell.stages:
            stages.update(_with_inputs(stage))
    kept = [cell for cell in before["cells"] if cell["task"] not in tasks]
    cells = [*kept, *map(_cell_told, (*plan.cells, *plan.perturbed))]
    needed = {title for cell in cells for _, titles in cell["steps"] for title in titles}
    return {
        "spec": plan.experiment.model_dump(mode="json"),
        "words": list(plan.experiment.words),
        "cells": sorted(cells, key=lambda cell: str(cell["task"])),
        "stages": {title: stages[title] for title in sorted(_reached(needed, stages))},
    }


def _cell_told(cell: Cell) -> dict[str, Any]:
    steps = [[step.title, [stage.title for stage in step.stages]] for step in cell.steps]
    told = {"method": cell.method.row, "task": cell.task.name, "seed": cell.seed, "steps": steps}
    if cell.fold is not None:
        told["fold"] = [cell.fold.number, cell.fold.of]
    if cell.perturbation is not None:
        told["perturbation"] = [cell.perturbation.kind, cell.perturbation.strength]
    return told


def _with_inputs(stage: Stage) -> Iterator[tuple[str, dict[str, Any]]]:
    for source in stage.inputs.values():
        yield from _with_inputs(source)
    told = {
        "version": stage.kind.version,
        "spec": dict(stage.spec),
        "inputs": {role: source.title for role, source in stage.inputs.items()},
        "local": dict(stage.local),
    }
    yield stage.title, json.loads(json.dumps(told))


def _reached(titles: set[str], stages: dict[str, Any]) -> set[str]:
    """Return `titles` with all that they are made of."""
    above = {title for known in titles for title in stages[known]["inputs"].values()}
    return titles | (_reached(above, stages) if above else set())


def _read(path: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Return what is remembered in a file; None, and a sentence, where it is torn."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = {}
    if isinstance(content, dict) and {"spec", "cells", "stages"} <= content.keys():
        return content
    say(f"{path} is damaged and left out; running its experiment writes it again, all is cached.")
    return None


def _plan(path: Path, content: dict[str, Any]) -> Plan:
    made: dict[str, Stage] = {}

    def stage(title: str) -> Stage:
        if title not in made:
            told = content["stages"][title]
            inputs = {role: stage(source) for role, source in told["inputs"].items()}
            # Only shown, never made again: it needs no body.
            kind = Kind(title.split("/")[0], told["version"], body="")
            made[title] = Stage(kind, told["spec"], inputs, told["local"])
        return made[title]

    try:
        spec = experiment_model().model_validate(content["spec"])
        spec = spec.asked_for_by(content.get("words", ()))
        methods = {method.row: method for method in spec.methods}
        cells = []
        for told in content["cells"]:
            steps = tuple(Step(title, tuple(map(stage, own))) for title, own in told["steps"])
            disturbed = disturbance(*told["perturbation"]) if "perturbation" in told else None
            fold = Fold(*told["fold"]) if "fold" in told else None
            method, task = methods[told["method"]], task_of(told["task"])
            cells.append(Cell(method, task, told["seed"], steps, disturbed, fold))
    # What somebody has changed by hand may be of any kind, and name itself as its own input.
    except (
        ValidationError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        InputError,
    ) as error:
        raise InputError(
            f"{path} was written by another version of fuse-then; remove it and run its "
            f"experiment again."
        ) from error
    clean = tuple(cell for cell in cells if cell.perturbation is None)
    return Plan(spec, clean, (), tuple(cell for cell in cells if cell not in clean))
