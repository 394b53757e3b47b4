"""A seed variance that is lent: found before any training, used, and said beneath the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readings import evidence_of
from stages import by_hand, facts
from stand_ins import no_report, start_checker

from fusion.errors import InputError
from pipelines.execution.runner import Step
from pipelines.planning.memory import remember, spec_digest
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.task import task_of, tasks
from pipelines.views.formats import render

CLASSES = 9
SEVERAL = {"visible": [0.30, 0.32, 0.28], "average": [0.20, 0.18, 0.22]}
ALONE = {"visible": [0.30], "average": [0.285]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def finished(store: Store, name: str, wrong: dict[str, list[float]], **more: Any) -> Plan:
    """Return an experiment of segmentation whose methods confuse so large a share of pixels."""
    seeds = list(range(len(wrong["visible"])))
    changed = {"name": name, "methods": list(wrong), "seeds": seeds, "detection": None, **more}
    spec = load_experiment("smoke", changed)
    cells = []
    for method in spec.methods:
        for seed, share in enumerate(wrong[method.name]):
            stage = by_hand("segmentation", 1, {"method": method.row, "seed": seed, "of": name})
            task = task_of("segmentation")
            cells.append(Cell(method, task, seed, (Step("x", (stage,)),)))
            with store.claim(stage, keep=False) as out:
                metrics = masks(out, share)
                store.commit(stage, facts(metrics=metrics, digest=f"{name} {method.row} {seed}"))
    plan = Plan(spec, tuple(cells), ())
    remember(plan, store)
    return plan


def masks(out: Path, share: float) -> dict[str, Any]:
    from segmentation.iou import scores

    names = load_experiment("smoke").sections["segmentation"].dataset.classes
    wrong = np.random.default_rng(0).binomial(500, share, 40)
    made = np.zeros((40, CLASSES, CLASSES), np.int64)
    made[:, 0, 0], made[:, 0, 1] = 500 - wrong, wrong
    made[:, 1, 1] = 500
    np.savez_compressed(out / "confusion.npz", names=[f"{n:02}" for n in range(40)], confusion=made)
    return scores(made.sum(axis=0), names).to_dict()


def test_a_lent_variance_lets_methods_be_spoken_of(store: Store) -> None:
    several = finished(store, "several", SEVERAL)
    (alone,) = evidence_of(finished(store, "alone", ALONE), store, "segmentation")
    assert alone.basis == "one training"
    assert alone.among_best == ("average",)
    own = finished(store, "mine", ALONE, seed_variance="from several")
    (found,) = evidence_of(own, store, "segmentation")
    assert found.basis == "lent"
    assert found.among_best == ("average", "visible")  # seeds alone make as much of a difference
    assert found.conclusion.startswith("With 95 % confidence the best is among all 2 methods")
    (told,) = (note for note in found.table.notes if "seed variance is that of" in note)
    (lending,) = evidence_of(several, store, "segmentation")
    place = lending.table.columns.index("mIoU")
    sds = [row.values[place].sd for row in lending.table.rows]  # type: ignore[union-attr]
    pooled = float(np.mean(np.square(np.array(sds)))) ** 0.5
    assert f"several (segmentation, standard deviation {pooled:.2f}, 4 degrees" in told
    assert "variance lent, 4 degrees of freedom" in " ".join(found.table.notes)


def test_so_does_a_file_of_tables(store: Store, tmp_path: Path) -> None:
    (lending,) = evidence_of(finished(store, "several", SEVERAL), store, "segmentation")
    path = tmp_path / "tables.json"
    path.write_text(f"[{render(lending.table, 'json')}]", encoding="utf-8")
    given, named = (
        evidence_of(finished(store, name, ALONE, seed_variance=f"from {whose}"), store)
        for name, whose in (("filed", path), ("named", "several"))
    )
    assert given[0].basis == named[0].basis == "lent"
    assert [d.high for d in given[0].differences] == pytest.approx(
        [d.high for d in named[0].differences]
    )


@pytest.mark.parametrize(
    ("whose", "told"),
    [
        ("nobody", 'remembers no experiment "nobody"'),
        ("severa", 'Did you mean "several"'),
        ("alone", "has no method of two finished seeds in segmentation"),
        ("gone.json", "gone.json cannot be read as tables"),
        ("text.json", "cannot be read as tables"),
        ("other.json", "cannot be read as tables"),
    ],
)
def test_what_cannot_lend_is_told_before_any_training(
    store: Store, tmp_path: Path, whose: str, told: str
) -> None:
    finished(store, "several", SEVERAL)
    finished(store, "alone", ALONE)
    (tmp_path / "text.json").write_text("no json", encoding="utf-8")
    (tmp_path / "other.json").write_text(json.dumps([{"rows": [{}]}]), encoding="utf-8")
    named = tmp_path / whose if whose.endswith(".json") else whose
    spec = load_experiment(
        "smoke", {"detection": None, "seeds": [0], "seed_variance": f"from {named}"}
    )
    with pytest.raises(InputError, match="seed_variance") as error:
        make_plan(spec, store, tasks(), no_report, start_checker)
    assert told in str(error.value)


def test_who_has_seeds_borrows_none() -> None:
    with pytest.raises(InputError, match="these have 2 of their own: remove it"):
        load_experiment("smoke", {"seeds": [0, 1], "seed_variance": "from demo"})
    with pytest.raises(InputError, match="seed_variance"):
        load_experiment("smoke", {"seed_variance": "demo"})


def test_an_experiment_that_borrows_nothing_keeps_its_identity() -> None:
    plain, borrowing = (
        load_experiment("smoke", {"seeds": [0], "seed_variance": one}) for one in (None, "from x")
    )
    assert spec_digest(plain) == spec_digest(load_experiment("smoke", {"seeds": [0]}))
    assert spec_digest(plain) != spec_digest(borrowing)
