"""Networks that are trained in two: the stages, who shares them, and what is refused before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fusion import load_method
from fusion.weights.checkpoints import save_checkpoint
from pipelines.datasets.scenes.writing import write_scenes
from pipelines.execution.job import Job
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks import fusion
from pipelines.tasks.probes import count
from pipelines.tasks.task import task_of

pytestmark = pytest.mark.process

Write = Callable[..., Path]
RECIPE = {"epochs": 2, "batch_size": 2, "crop": 32}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, seed=0, train=4, val=0, test=2, height=96, width=96)
    return folder


@pytest.fixture
def plan_of(
    root: Path, write_experiment: Write, session_store: Path, shared_worker: SimpleNamespace
) -> Callable[..., Plan]:
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}

    def planned(*rows: dict[str, Any], **more: Any) -> Plan:
        methods = [
            {
                "name": "dm_fnet",
                "label": f"row {n}",
                "params": {"preset": "tiny", **row.pop("params", {})},
                "train": {"dataset": masks, **RECIPE, "pretrain": RECIPE, **row},
            }
            for n, row in enumerate(rows)
        ]
        path = write_experiment(root, methods=methods, scoring={"dataset": masks}, **more)
        store = Store(session_store)
        return make_plan(load_experiment(str(path)), store, (task_of("scoring"),), silent)

    return planned


def silent(_title: str) -> Callable[..., None]:
    return lambda *_: None


def keys(cell: Cell) -> list[str]:
    return [step.stages[0].key for step in cell.trainings]


def test_the_first_training_is_shared_by_all_that_differ_in_the_second(
    plan_of: Callable[..., Plan],
) -> None:
    second = {"epochs": 3}, {"learning_rate": 1e-3}, {"params": {"steps": [5]}}
    first = {"pretrain": {**RECIPE, "epochs": 5}}, {"params": {"width": 16}}
    plan = plan_of({}, *second, *first)
    assert plan.blocked == ()
    assert [step.title for step in plan.cells[0].trainings] == [
        "pretrain row 0 (seed 0)",
        "train row 0 (seed 0)",
    ]
    own, *others = [keys(cell) for cell in plan.cells]
    assert [key for key, _ in others] == [own[0]] * 3 + [k for k, _ in others[3:]]
    assert len({key for key, _ in [own, *others]}) == 3
    assert len({key for _, key in [own, *others]}) == 6


def test_a_seed_of_its_own_makes_one_first_training_for_all_seeds(
    plan_of: Callable[..., Plan],
) -> None:
    plan = plan_of({}, {"pretrain": {**RECIPE, "seed": 4}}, seeds=[0, 1])
    each, shared = ([c for c in plan.cells if c.method.row == f"row {n}"] for n in (0, 1))
    assert len({keys(cell)[0] for cell in each}) == 2
    assert len({keys(cell)[0] for cell in shared}) == 1
    assert len({keys(cell)[1] for cell in shared}) == 2


def weights(path: Path, part: bool, **params: Any) -> Path:
    """Write what a training of dm_fnet leaves, its first or its second."""
    torch.manual_seed(0)
    state = load_method("dm_fnet", **params).state_dict()
    if part:
        state = {key: value for key, value in state.items() if key.startswith("unet.")}
    save_checkpoint(path, "dm_fnet", params, state, {"part": "unet"} if part else {})
    return path


TINY = {"width": 8, "groups": 4, "dropout": 0.0}


def test_weights_of_an_earlier_first_training_take_its_place(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    given = str(weights(tmp_path / "unet.pt", True, **TINY))
    other = str(weights(tmp_path / "other.pt", True, **TINY, steps=[5]))
    plan = plan_of(*({"pretrain": None, "pretrained": path} for path in (given, other)), {})
    assert plan.blocked == ()
    first, second, third = (keys(cell) for cell in plan.cells)
    assert len(first) == len(second) == 1
    assert first != second, "by their bytes, not by where they lie"
    assert len(third) == 2


def test_what_cannot_be_trained_is_told_before(
    plan_of: Callable[..., Plan], tmp_path: Path
) -> None:
    whole = weights(tmp_path / "whole.pt", False, **TINY)
    wide = weights(tmp_path / "wide.pt", True, **{**TINY, "width": 16})
    rows = [{"pretrain": None, "pretrained": str(p)} for p in (whole, wide, tmp_path / "none.pt")]
    said = [why for _, why in plan_of({"pretrain": None}, *rows).blocked]
    assert len(said) == 4
    assert 'row 0: the method "dm_fnet" is trained in two, its unet first; give' in said[0]
    assert 'whole.pt holds "dm_fnet" whole, not what the first training' in said[1]
    assert "wide.pt was trained with width = 16, not 8; give the preset" in said[2]
    assert 'none.pt of "row 3.train.pretrained" does not exist' in said[3]
    assert all("\n" not in why for why in said)


@pytest.mark.parametrize(
    ("params", "part", "said"),
    [
        ({"preset": "tiny"}, True, 'holds the unet of the method "dm_fnet" alone'),
        ({"preset": "tiny", "width": 16}, False, "of another shape"),
    ],
)
def test_a_wrong_checkpoint_is_told_before(
    root: Path,
    write_experiment: Write,
    session_store: Path,
    shared_worker: SimpleNamespace,
    tmp_path: Path,
    params: dict[str, Any],
    part: bool,
    said: str,
) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    path = str(weights(tmp_path / "weights.pt", part, **TINY))
    method = {"name": "dm_fnet", "params": params, "checkpoint": path}
    given = write_experiment(root, methods=[method], scoring={"dataset": masks})
    spec = load_experiment(str(given))
    plan = make_plan(spec, Store(session_store), (task_of("scoring"),), silent)
    assert [said in why for _, why in plan.blocked] == [True]


def test_a_method_that_is_trained_at_once_takes_no_first_training(
    root: Path, write_experiment: Write, session_store: Path, shared_worker: SimpleNamespace
) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(root / "msrs")}
    train = {"dataset": masks, **RECIPE, "pretrain": RECIPE}
    method = {"name": "lkc_funet", "params": {"preset": "tiny"}, "train": train}
    path = write_experiment(root, methods=[method], scoring={"dataset": masks})
    spec = load_experiment(str(path))
    plan = make_plan(spec, Store(session_store), (task_of("scoring"),), silent)
    ((_, why),) = plan.blocked
    assert '"lkc_funet" is trained at once; take "pretrain" and "pretrained" out' in why


def test_both_trainings_are_made_and_fuse(plan_of: Callable[..., Plan], tmp_path: Path) -> None:
    """The bodies, one after the other, as a worker calls them."""
    plan = plan_of({"epochs": 1, "pretrain": {**RECIPE, "epochs": 1}})
    first, second = (step.stages[0] for step in plan.cells[0].trainings)
    folders: dict[str, Path] = {}
    for stage in (first, second):
        out = tmp_path / stage.kind.name
        out.mkdir()
        inputs = {role: folders[source.key] for role, source in stage.inputs.items()}
        job = Job(stage.kind.name, stage.spec, inputs, stage.local, out, "cpu", 1, lambda *_: None)
        assert fusion.train_fusion(job)["epochs"] == 1
        assert not (out / "state.pt").exists()
        folders[stage.key] = out
    part, whole = (torch.load(folders[s.key] / "weights.pt") for s in (first, second))
    assert part["extra"]["part"] == "unet"
    assert part["extra"]["settings"]["weight_decay"] == 0.01
    assert all(torch.equal(whole["state_dict"][k], v) for k, v in part["state_dict"].items())
    method = load_method("dm_fnet", folders[second.key] / "weights.pt")
    assert method.fuse(torch.rand(1, 1, 40, 40), torch.rand(1, 1, 40, 40)).shape[-1] == 40


def counted(tmp_path: Path, **spec: Any) -> float:
    given = {"method": "dm_fnet", "params": {"preset": "tiny"}}
    full = {"given": given, "height": 64, "width": 64, **spec}
    job = Job("operations", full, {}, {}, tmp_path, "cpu", 1, lambda *_: None)
    return float(count(job)["operations"])


def test_the_cost_of_a_training_is_that_of_what_learns(tmp_path: Path) -> None:
    """The UNet's passes count once in the second training, the head's three times."""
    whole = counted(tmp_path, network="pipelines.tasks.fusion:network", training=False)
    step = counted(tmp_path, network="pipelines.tasks.fusion:network", training=True)
    part = counted(tmp_path, network="pipelines.tasks.fusion:part", training=False)
    method = load_method("dm_fnet", preset="tiny")
    features = [[torch.rand(1, c, 4 << n, 4 << n) for n, c in enumerate((16, 8, 8, 8, 8))]] * 3
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.head(features, features)
    head = counter.get_total_flops()
    assert 2 * head < step - whole < 3 * head, "and what the loss takes"
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.unet(torch.rand(2, 1, 64, 64), torch.ones(2, 1))
    assert part == pytest.approx(counter.get_total_flops(), rel=0.02)
