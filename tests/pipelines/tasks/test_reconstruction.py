"""From shorter scans to tables: plan, stages, what they keep, and what is refused before any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stand_ins import no_report

from fusion.errors import InputError
from fusion.pairs import read_gray, read_rgb, write_png
from fusion.reconstruction.masks import MASK_KINDS
from fusion.reconstruction.measures import MEASURES as MEASURED
from fusion.reconstruction.simulation import NOISE
from pipelines.execution.job import Job
from pipelines.execution.runner import make_here
from pipelines.planning.cost.history import Works
from pipelines.planning.cost.sketches import blocked_stages
from pipelines.planning.memory import recall, remember
from pipelines.planning.plan import Plan
from pipelines.planning.planner import make_plan
from pipelines.results.finished import Results, read_results
from pipelines.results.tables import experiment_evidence
from pipelines.results.undersampled import DRAWN, disturbed_tables
from pipelines.results.values import Table
from pipelines.specs.loading import load_experiment
from pipelines.specs.reconstruction import ReconstructionSpec, ReconstructionTrainingSpec
from pipelines.store.stage import load_body
from pipelines.store.store import Store
from pipelines.tasks.reconstruction import (
    LOWER,
    MEASURES,
    NOISE_PERCENT,
    RECONSTRUCT,
    TRAIN,
    reconstruct,
    train_reconstruction,
)
from pipelines.tasks.scoring import SCORES, read_scores
from pipelines.tasks.task import task_of
from pipelines.views.report.content import collect
from pipelines.views.report.page import page
from pipelines.views.scans import write_scans

SIDE = 40
Change = Callable[..., Path]


def blobs(seed: int, side: int = SIDE) -> np.ndarray:
    """Return smooth blobs of different greys on black."""
    lots = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    image = np.zeros((side, side))
    for _ in range(8):
        cy, cx, width = lots.uniform(-0.6, 0.6), lots.uniform(-0.6, 0.6), lots.uniform(0.05, 0.4)
        image += lots.uniform(0.2, 1) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / width**2)
    return np.rint(255 * image / image.max()).astype(np.uint8)


def write_pairs(root: Path, sizes: dict[str, list[int]]) -> None:
    for split, sides in sizes.items():
        for n, side in enumerate(sides):
            for m, kind in enumerate(("MRI", "CT")):
                path = root / split / kind / f"{split}{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, blobs(10 * n + 5 * m + len(split), side))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slices")
    write_pairs(root, {"train": [SIDE] * 3, "test": [SIDE, SIDE, 37]})
    return root


def experiment(home: Path, place: Path, **changes: Any) -> Path:
    folders = {"infrared": "{split}/MRI", "visible": "{split}/CT"}
    dataset = {"name": "slices", "layout": "pairs", "root": str(home), **folders}
    train = {"dataset": dataset, "preset": "tiny", "epochs": 1, "crop": 32}
    reconstruction = {"accelerations": [4, 8], "train": train}
    for key, value in changes.items():
        (train if key in ("crop", "batch_size") else reconstruction)[key] = value
    spec = {
        "name": "shorter",
        "methods": ["infrared", "visible", "average"],
        "reconstruction": {k: v for k, v in reconstruction.items() if v is not None},
        "scoring": {"dataset": dataset, "metrics": ["SD", "SSIM"]},
    }
    path = place / "shorter.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


class Here:
    """In place of a worker: runs the body of a check in this process."""

    def run(self, job: Any, out: Path, report: Any) -> dict[str, Any]:
        inputs = {role: Path(path) for role, path in job["inputs"].items()}
        given = Job(job["kind"], job["spec"], inputs, job["local"], out, "cpu", 1, report)
        return load_body(job["body"])(given)


def start(device: str, threads: int, timeout_seconds: float) -> AbstractContextManager[Any]:
    return nullcontext(Here())


def planned(path: Path, store: Store) -> Plan:
    return make_plan(load_experiment(str(path)), store, (task_of("scoring"),), no_report, start)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def plan(home: Path, store: Store) -> Plan:
    return planned(experiment(home, home), store)


@pytest.fixture(scope="module")
def results(plan: Plan, store: Store) -> Results:
    for cell in plan.cells:
        for stage in cell.stages:
            make_here(stage, store, no_report(""))
    for chain in plan.upstream:
        for step in chain:
            for stage in step.stages:
                make_here(stage, store, no_report(""))
    for step in plan.runnable_sweeps(store):
        for stage in step.stages:
            make_here(stage, store, no_report(""))
    return read_results(plan, store)


# The plan.


def test_a_network_is_trained_once_and_slices_are_reconstructed_once(plan: Plan) -> None:
    assert plan.blocked == ()
    assert len(plan.cells) == 3
    assert len(plan.perturbed) == 3 * 2 * 2
    stages = [stage for cell in plan.perturbed for stage in cell.stages]
    assert len({s.key for s in stages if s.kind.name == TRAIN.name}) == 1
    assert len({s.key for s in stages if s.kind.name == RECONSTRUCT.name}) == 4
    assert all(cell.steps[-1].stages[0].spec["perturbed"] == "infrared" for cell in plan.perturbed)


def test_nothing_is_fused_before_its_slices_are_there(plan: Plan, tmp_path: Path) -> None:
    assert len(plan.sweeps) == 3 * 2
    assert plan.runnable_sweeps(Store(tmp_path)) == ()
    titles = [[step.title for step in chain] for chain in plan.upstream]
    assert ["train cmd", "reconstruct 8x cmd"] in titles
    assert ["reconstruct 4x zero-filled"] in titles


def test_a_remembered_plan_keeps_its_scans(plan: Plan, store: Store) -> None:
    remember(plan, store)
    (again,) = [one for one in recall(store) if one.experiment.name == "shorter"]
    assert [cell.perturbation for cell in again.perturbed] == [
        cell.perturbation for cell in plan.perturbed
    ]


def test_every_stage_says_how_much_work_it_is(plan: Plan) -> None:
    works = Works()
    for kind in (TRAIN, RECONSTRUCT):
        found = [s for c in plan.perturbed for s in c.stages if s.kind.name == kind.name]
        assert all((work := works.of(stage)) is not None and work.known for stage in found)


def test_a_shipped_experiment_says_what_it_would_do_without_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSE_THEN_DATA", "/nowhere")
    bare = {"methods": ["average"]}
    spec, store = load_experiment("reconstruct-paper", bare), Store(tmp_path)
    made = make_plan(spec, store, (task_of("scoring"),), no_report, start)
    assert [title for title, _ in made.blocked] == ["average / scoring / seed 0"]
    kinds = [stage.kind.name for stage in blocked_stages(made, store).values()]
    assert kinds.count(TRAIN.name) == 1
    assert kinds.count(RECONSTRUCT.name) == 4


OTHERS = {
    "mask": "equispaced",
    "accelerations": [4, 6],
    "centre_fractions": [0.06, 0.04],
    "train.preset": "small",
    "train.epochs": 2,
    "train.batch_size": 2,
    "train.crop": 33,
    "train.crops_per_image": 2,
    "train.learning_rate": 2e-3,
    "train.precision": "tf32",
    "train.validate_every": 2,
    "train.seed": 3,
}
CHOSEN = {"reconstructions", "train", "train.dataset"}
"""What to do, and on what: settings that say it in their own way."""


def test_another_value_of_any_setting_is_another_result(
    home: Path, plan: Plan, store: Store
) -> None:
    settings = {f"train.{name}" for name in ReconstructionTrainingSpec.model_fields}
    settings |= set(ReconstructionSpec.model_fields)
    assert settings - CHOSEN - {"train.checkpoint_minutes"} == set(OTHERS)

    def keys(**changes: Any) -> set[str]:
        overrides = {f"reconstruction.{name}": value for name, value in changes.items()}
        spec = load_experiment(str(home / "shorter.yaml"), {"methods": ["average"], **overrides})
        made = make_plan(spec, store, (task_of("scoring"),), no_report, start)
        assert made.blocked == ()
        return {cell.result.key for cell in made.perturbed}

    before = keys()
    assert [name for name, value in OTHERS.items() if keys(**{name: value}) <= before] == []


# What the stages keep.


def test_reconstructions_are_kept_beside_their_measures(results: Results) -> None:
    found = {
        (s.stage.spec["reconstruction"], s.stage.spec["acceleration"]): s.folder
        for one in results.perturbed
        for s in one.stages
        if s.stage.kind.name == RECONSTRUCT.name
    }
    assert len(found) == 4
    for folder in found.values():
        names, measures, values = read_scores(folder)
        assert names == ("test0", "test1", "test2")
        assert measures == MEASURES
        assert np.isfinite(values).all()
        assert read_gray(folder / "images" / "test2.png").shape == (37, 37)
    four, eight = (read_scores(found["zero-filled", a])[2] for a in (4.0, 8.0))
    assert (four[:, 0] > eight[:, 0]).all()


def test_a_rehearsal_reconstructs_as_the_processor_does(results: Results, tmp_path: Path) -> None:
    one = next(one for one in results.perturbed if one.cell.perturbation.label == "4x cmd")
    (made,) = [s for s in one.stages if s.stage.kind.name == RECONSTRUCT.name]
    inputs = {"network": results.store.directory(made.stage.inputs["network"])}
    given = (made.stage.spec, inputs, made.stage.local, tmp_path)
    reconstruct(Job("reconstruct", *given, "rehearse:0", 1, no_report("")))
    assert (tmp_path / SCORES).read_bytes() == (made.folder / SCORES).read_bytes()


def test_an_interrupted_training_goes_on_where_it_was(
    plan: Plan, results: Results, tmp_path: Path
) -> None:
    stage = next(s for c in plan.perturbed for s in c.stages if s.kind.name == TRAIN.name)
    settings = {**stage.spec["settings"], "epochs": 2}
    local = {**stage.local, "settings": {**stage.local["settings"], "checkpoint_minutes": 0}}
    seen: list[int] = []

    def train(folder: str, stop: int = 0) -> bytes:
        def report(done: int, total: int, remark: str) -> None:
            seen.append(done)
            if done == stop:
                raise KeyboardInterrupt

        out = tmp_path / folder
        out.mkdir(exist_ok=True)
        spec = {**stage.spec, "settings": settings}
        train_reconstruction(Job("train", spec, {}, local, out, "cpu", 1, report))
        return (out / "weights.pt").read_bytes()

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("parts", stop=1)
    assert train("parts") == whole
    assert seen == [1, 2, 1, 2]


def test_what_sees_no_mri_loses_nothing(results: Results) -> None:
    table = scored(results, "scoring-4x-zero-filled")
    rows = [row.label for row in table.rows]
    assert rows[:2] == ["infrared", "  against full"]
    lost = dict(zip(rows[::2], table.rows[1::2], strict=True))
    for value in lost["visible"].values[:1]:  # SD is of the fused image alone
        assert value is not None
        assert (value.mean, value.ci95) == (0, (0, 0))
    infrared = lost["infrared"].values[1]
    assert infrared is not None
    assert infrared.ci95 is not None
    assert infrared.ci95[1] < 0  # SSIM against the whole slice, which it was equal to


def scored(results: Results, name: str) -> Table:
    (found,) = [table for table in disturbed_tables(results) if table.name == name]
    return found


def test_there_is_a_table_a_scan_and_one_of_nearness(results: Results) -> None:
    tables = disturbed_tables(results)
    scans = [f"scoring-{a}x-{how}" for a in (4, 8) for how in ("zero-filled", "cmd")]
    assert [table.name for table in tables] == ["reconstruction", *scans]
    near = tables[0]
    assert near.columns == MEASURES
    labels = [row.label for row in near.rows]
    assert labels[:3] == ["4x zero-filled", "4x cmd", "  against zero-filled"]
    first, second, apart = (row.values[0] for row in near.rows[:3])
    assert first is not None
    assert second is not None
    assert apart is not None
    assert apart.mean == pytest.approx(second.mean - first.mean)
    assert apart.ci95 is not None
    assert apart.ci95[0] <= apart.mean <= apart.ci95[1]


def test_the_mean_is_that_of_the_images(results: Results) -> None:
    (row,) = [r for r in scored(results, "reconstruction").rows if r.label == "8x zero-filled"]
    folder = next(
        s.folder
        for one in results.perturbed
        for s in one.stages
        if s.stage.kind.name == RECONSTRUCT.name
        and (s.stage.spec["reconstruction"], s.stage.spec["acceleration"]) == ("zero-filled", 8)
    )
    means = read_scores(folder)[2].mean(axis=0)
    assert [value.mean for value in row.values if value] == pytest.approx(list(means))


def test_what_is_not_finished_is_told(plan: Plan, tmp_path: Path) -> None:
    tables = disturbed_tables(read_results(plan, Store(tmp_path)))
    assert len(tables) == 4
    assert all(row.finished == 0 for table in tables for row in table.rows)


def test_words_that_stand_apart_from_fusion_agree_with_it() -> None:
    assert MEASURES == MEASURED
    assert set(LOWER) < set(MEASURES)
    assert pytest.approx(NOISE_PERCENT) == 100 * NOISE
    assert set(DRAWN) == set(MASK_KINDS)


# What is shown.


def test_the_page_shows_scans_and_what_they_cost(results: Results) -> None:
    text = page(collect(results, experiment_evidence(results), [], lambda *_: None))
    for words in ("When the scan is shorter", "MRI 8x cmd", "against zero-filled", "test1, full"):
        assert words in text
    # Three slices, each with what visible and average make of it, in five scans.
    assert text.count('aria-label="test') == 3 * 3 * 5


def test_a_sheet_has_a_row_a_method_and_a_column_a_scan(results: Results, tmp_path: Path) -> None:
    written = write_scans(results, tmp_path)
    assert [path.name for path in written] == [f"reconstruction-test{n}.png" for n in range(3)]
    height, width = read_rgb(written[0]).shape[:2]
    assert width == 5 * 256 + 4 * 4
    assert height == 20 + 3 * (256 + 20)
    drawn = written[0].resolve().stat().st_mtime_ns
    assert write_scans(results, tmp_path)[0].resolve().stat().st_mtime_ns == drawn


def test_an_unfinished_run_shows_no_pictures(plan: Plan, tmp_path: Path) -> None:
    assert write_scans(read_results(plan, Store(tmp_path)), tmp_path) == []


# What is refused, in one sentence, before anything is trained.


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accelerations": [0.5, 8]}, '"reconstruction": acceleration is 0.5; use a finite number'),
        ({"accelerations": [4]}, "1 accelerations and 2 centre_fractions"),
        ({"accelerations": ["fast", 8]}, "\"reconstruction.accelerations.0\" (it is 'fast')"),
        ({"centre_fractions": [0.08, 0.5]}, "centre_fraction is 0.5; at acceleration 8"),
        ({"centre_fractions": [0, 0.04]}, "centre_fraction is 0.0; at acceleration 4"),
        ({"mask": "spiral"}, "Input should be 'random', 'equispaced' or 'gaussian'"),
        ({"reconstructions": ["magic"]}, "Input should be 'zero-filled' or 'cmd'"),
        ({"reconstructions": []}, '"reconstruction.reconstructions"'),
        ({"train": None}, 'reconstruction "cmd" is a network: give train with a dataset'),
        ({"crop": 8}, '"reconstruction.train.crop" (it is 8): Input should be greater than'),
        ({"acceleration": 4}, 'the key "reconstruction.acceleration" is unknown. Did you mean'),
    ],
)
def test_what_cannot_be_is_one_sentence(
    home: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_experiment(str(experiment(home, tmp_path, **given)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def blocked(plan: Plan) -> Iterator[str]:
    assert plan.cells == ()
    return (why for _, why in plan.blocked)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"accelerations": [4, 100], "centre_fractions": [0.08, 0.005]},
            "0x40. The undersampling mask is larger than the image: acceleration 100 takes one",
        ),
        ({"crop": 64}, "train0 is 40x40, smaller than the training crop of 64"),
        ({"batch_size": 9}, "3 training slices x 1 crops_per_image are fewer than one batch of 9"),
    ],
)
def test_slices_are_looked_at_before_any_training(
    home: Path, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    made = planned(experiment(home, tmp_path, **given), Store(tmp_path / "store"))
    assert all(said in why for why in blocked(made))


def test_slices_too_small_for_the_network_are_named(tmp_path: Path) -> None:
    write_pairs(tmp_path, {"train": [SIDE], "test": [SIDE, 20]})
    made = planned(experiment(tmp_path, tmp_path), Store(tmp_path / "store"))
    assert all("at least 32x32 pixels, and test1 is 20x20" in why for why in blocked(made))
    zero = {"reconstructions": ["zero-filled"], "train": None}
    fine = planned(experiment(tmp_path, tmp_path, **zero), Store(tmp_path / "other"))
    assert fine.blocked == ()


def test_folds_are_refused(home: Path, tmp_path: Path) -> None:
    path = experiment(home, tmp_path)
    spec = yaml.safe_load(path.read_text())
    folders = {"infrared": "test/MRI", "visible": "test/CT", "split": {"folds": 3}}
    spec["scoring"]["dataset"] |= folders
    path.write_text(yaml.safe_dump(spec))
    made = planned(path, Store(tmp_path / "store"))
    assert made.blocked
    assert all("give the dataset a split without folds" in why for why in blocked(made))


def test_reconstruction_needs_scores(home: Path, tmp_path: Path) -> None:
    path = experiment(home, tmp_path)
    spec = yaml.safe_load(path.read_text())
    del spec["scoring"]
    spec["detection"] = {"dataset": "smoke-detection", "model": "yolov5n", "epochs": 1, "batch": 1}
    path.write_text(yaml.safe_dump(spec))
    with pytest.raises(InputError, match="reconstruction needs scoring"):
        load_experiment(str(path))
