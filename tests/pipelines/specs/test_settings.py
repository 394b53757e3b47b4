"""Every setting counts for the identity of what it determines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from pydantic import BaseModel, ValidationError

from pipelines.datasets.scenes.writing import write_scenes
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.specs.method import FusionTrainingSpec, PretrainingSpec
from pipelines.store.store import Store
from pipelines.tasks.facts import NOT_HASHED
from pipelines.tasks.task import sections, task_of

Write = Callable[..., Path]
RECIPE = {"epochs": 4, "batch_size": 2, "crop": 32}
SETTINGS: dict[str, type[BaseModel]] = {
    "methods.0.train": FusionTrainingSpec,
    "methods.0.train.pretrain": PretrainingSpec,
    **sections(),
}
"""All models of settings, by their place in an experiment."""
APART = ("pretrained",)
"""What stands in another one's place; it has a test of its own."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with a validation split, others of the same names, and layers to start from."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed, place in enumerate((folder, folder / "other")):
        write_scenes(place, seed=seed, train=4, val=2, test=2, height=96, width=96)
        for part in ("ir", "vi", "Segmentation_labels"):
            (place / "msrs" / "val" / part).mkdir(parents=True)
            for path in sorted((place / "msrs" / "train" / part).iterdir())[:2]:
                path.rename(place / "msrs" / "val" / part / path.name)
    torch.save({"model.0.conv.weight": torch.zeros(16, 3, 6, 6)}, folder / "detector.pt")
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, folder / "encoder.pt")
    return folder


def experiment(root: Path) -> dict[str, Any]:
    """The keys of an experiment with one of each model of settings, on the scenes in `root`."""
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    train = {"dataset": masks, **RECIPE, "pretrain": RECIPE}
    network = {"name": "dm_fnet", "params": {"preset": "tiny"}, "train": train}
    return {"methods": [network], "scoring": {"dataset": masks}}


def others(key: str, value: Any, choices: tuple[Any, ...], root: Path) -> Iterator[Any]:
    """Yield what might stand in the place of a setting's value."""
    if key == "pretrain":
        yield {**value.model_dump(mode="json"), "epochs": 7}
    if key == "dataset":
        yield {**value.model_dump(mode="json"), "root": str(root / "other" / value.layout)}
    yield from {
        "encoder": ["resnet18"],
        "initial_checkpoint": [str(root / "detector.pt")],
        "encoder_checkpoint": [str(root / "encoder.pt")],
        "seed": [7],
        "micro_batch": [2],
    }.get(key, [])
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value * 2, value / 2, value + 1)
    elif isinstance(value, tuple):
        yield value[:-1]
    yield from (choice for choice in choices if choice != value)


def changed(spec: BaseModel, key: str, root: Path) -> Any:
    """Return another valid value of a setting; an unknown sort of setting fails the test."""
    field = type(spec).model_fields[key]
    for other in others(key, getattr(spec, key), get_args(field.annotation), root):
        try:
            type(spec).model_validate({**dict(spec), key: other})
        except ValidationError:
            continue
        return other
    raise AssertionError(f"write down another value for {type(spec).__name__}.{key}")


@pytest.mark.parametrize("place", SETTINGS)
def test_another_value_of_any_setting_is_another_result(
    place: str,
    root: Path,
    write_experiment: Write,
    session_store: Path,
    shared_worker: SimpleNamespace,
) -> None:
    path = str(write_experiment(root, **experiment(root)))
    task = "detection" if place.startswith("methods") else place

    def key(changes: dict[str, Any]) -> str:
        plan = make_plan(
            load_experiment(path, changes),
            Store(session_store),
            (task_of(task),),
            lambda title: silent,
        )
        assert plan.blocked == ()
        return plan.cells[0].result.key

    spec = load_experiment(path)
    spec = spec.methods[0].train if place.startswith("methods") else getattr(spec, task)
    spec = spec.pretrain if place.endswith(".pretrain") else spec
    assert type(spec) is SETTINGS[place]
    before = key({})
    wanted = [name for name in SETTINGS[place].model_fields if name not in {*NOT_HASHED, *APART}]
    idle = [n for n in wanted if key({f"{place}.{n}": changed(spec, n, root)}) == before]
    assert idle == [], (
        "another value of these leaves a finished result in place; hash them, or give the reason "
        "why they cannot change a result in NOT_HASHED"
    )


def test_what_is_not_hashed_still_reaches_the_training(
    root: Path, write_experiment: Write, session_store: Path, shared_worker: SimpleNamespace
) -> None:
    path = str(write_experiment(root, **experiment(root)))
    spec = load_experiment(path, {"methods.0.train.checkpoint_minutes": 3})
    plan = make_plan(spec, Store(session_store), (task_of("scoring"),), lambda title: silent)
    first, training = (step.stages[0] for step in plan.cells[0].trainings)
    assert training.kind.name == "train_fusion"
    assert training.local["settings"] == {"checkpoint_minutes": 3}
    assert first.local["settings"] == {"checkpoint_minutes": 10}


def silent(done: int, total: int, remark: str) -> None:
    """Report nothing."""


def test_what_is_not_hashed_exists_and_has_a_reason() -> None:
    names = {name for model in SETTINGS.values() for name in model.model_fields}
    assert NOT_HASHED.keys() <= names
    assert all(NOT_HASHED.values())
