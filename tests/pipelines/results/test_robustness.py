from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from readings import curves_of, disturbed_of
from stages import commit
from stand_ins import no_report

from detection.datasets import M3FD_CLASSES
from fusion.errors import InputError
from fusion.method import FusionMethod
from fusion.pairs import read_image, read_rgb
from fusion.perturb import KINDS as DISTURBANCES
from fusion.perturb import Perturbation, perturb
from pipelines import flows
from pipelines.cli.app import main
from pipelines.execution.job import Job
from pipelines.execution.runner import NO_SLOT, job_of, make_stage
from pipelines.planning.memory import recall, remember, spec_digest
from pipelines.planning.plan import Cell, Plan
from pipelines.planning.planner import make_plan
from pipelines.results.comparison import RunFailed
from pipelines.results.finished import Results, read_results
from pipelines.results.robustness import (
    Curve,
    robustness_table,
)
from pipelines.results.values import Table, Value
from pipelines.specs.loading import load_experiment
from pipelines.specs.perturbation import MEANING, UNITS, WORDS
from pipelines.store.digests import digest
from pipelines.store.stage import Stage, load_body
from pipelines.store.store import Store
from pipelines.tasks.fusion import _perturbed
from pipelines.tasks.task import task_of, tasks
from pipelines.views.charts.robustness import panel, picture
from pipelines.views.charts.theme import looks
from pipelines.views.formats import render
from pipelines.views.robustness import robustness_charts, write_robustness
from pipelines.views.tracking.tracker import Tracker

pytestmark = pytest.mark.process

Write = Callable[..., Path]
PERTURB = {"shift": [4, 2], "infrared_noise": [20], "lost": ["infrared", "visible"]}


# What an experiment may ask for.


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"shift": [-2]}, '"perturb": shift is -2.0; use finite numbers above 0 (0 is the clean'),
        ({"shift": [0]}, "shift is 0.0; use finite numbers above 0 (0 is the clean result"),
        ({"rotation": [float("inf")]}, "rotation is inf; use finite numbers above 0 and at most"),
        ({"visible_darkening": [1.2]}, "visible_darkening is 1.2; use finite numbers above 0 and"),
        ({"shfit": [2]}, 'the key "perturb.shfit" is unknown. Did you mean "shift"? Available: '),
        ({"shift": [2, 2.0]}, "shift lists 2.0 twice; keep one of them."),
        ({"lost": ["visible", "visible"]}, "lost lists visible twice; keep one of them."),
        ({"lost": ["thermal"]}, "\"perturb.lost.0\" (it is 'thermal'): Input should be 'infrared'"),
        ({"shift": [True]}, '"perturb.shift.0" (it is True): Input should be a valid number.'),
        ({"shift": 2}, '"perturb.shift" (it is 2): Input should be a valid tuple.'),
        ({}, "perturb names no strength; give one of shift, rotation, infrared_noise, visible_d"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    write_experiment: Write, wanted: dict[str, Any], sentence: str
) -> None:
    path = write_experiment(perturb=wanted)
    with pytest.raises(InputError) as caught:
        load_experiment(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_of_images_cannot_be_disturbed(write_experiment: Write) -> None:
    masks = load_experiment(str(write_experiment())).segmentation
    assert masks is not None
    scoring = {"dataset": masks.dataset.model_dump(mode="json")}
    path = write_experiment(detection=None, segmentation=None, scoring=scoring, perturb=PERTURB)
    with pytest.raises(InputError, match="perturb needs detection or segmentation"):
        load_experiment(str(path))


def test_strengths_come_in_order_whatever_the_file_says(write_experiment: Write) -> None:
    spec = load_experiment(str(write_experiment(perturb=PERTURB)))
    assert spec.perturb is not None
    labels = [one.label for one in spec.perturb.perturbations]
    assert labels == ["shift 2 px", "shift 4 px", "noise 20", "no infrared", "no visible"]


def test_every_kind_has_a_name_a_unit_and_a_meaning() -> None:
    assert set(DISTURBANCES) == set(MEANING) == set(UNITS) == set(WORDS)


# The plan.


@pytest.fixture
def plan(
    write_experiment: Write, session_store: Path, shared_worker: SimpleNamespace
) -> Callable[..., Plan]:
    """Plan the tiny experiment with changes, in the session's store."""

    def make(**changes: Any) -> Plan:
        spec = load_experiment(str(write_experiment(**changes)))
        return make_plan(spec, Store(session_store), tasks(), no_report, shared_worker.start)

    return make


def test_the_clean_stages_of_a_shipped_experiment_keep_their_keys(
    session_store: Path, shared_worker: SimpleNamespace
) -> None:
    overrides: tuple[dict[str, Any], ...] = ({}, {"perturb": PERTURB})
    without, having = (
        make_plan(
            load_experiment("smoke", over),
            Store(session_store),
            tasks(),
            no_report,
            shared_worker.start,
        )
        for over in overrides
    )
    keys = [
        {cell.title: [stage.key for stage in cell.stages] for cell in made.cells}
        for made in (without, having)
    ]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 4
    assert without.digest == having.digest
    assert without.perturbed == ()
    assert without.sweeps == ()
    assert len(having.perturbed) == 4 * 5


def test_disturbed_cells_share_networks_and_disturbed_images(plan: Callable[..., Plan]) -> None:
    made = plan(methods=["visible", "average"], seeds=[0, 1], perturb=PERTURB)
    assert len(made.perturbed) == 2 * 2 * 2 * 5
    clean = {(c.method.row, c.task, c.seed): c.result for c in made.cells}
    for cell in made.perturbed:
        theirs = clean[cell.method.row, cell.task, cell.seed]
        role = "detector" if cell.task.name == "detection" else "segmenter"
        assert cell.result.inputs[role] is theirs.inputs[role]
        assert cell.result.inputs["index"] is theirs.inputs["index"]
        assert [s.kind.name for s in cell.stages] == ["perturb", "fuse", theirs.kind.name]
    assert len({cell.title for cell in made.perturbed}) == 40
    names = {s.kind.name for c in made.perturbed for s in c.stages}
    kinds = [{s.key for c in made.perturbed for s in c.stages if s.kind.name == k} for k in names]
    counts = dict(zip(names, map(len, kinds), strict=True))
    # per strength; per strength and method; and with task and seed
    assert (counts["perturb"], counts["fuse"]) == (5, 10)
    assert (counts["detect"], counts["segment"]) == (20, 20)
    assert {s.key for c in made.cells for s in c.stages}.isdisjoint(set().union(*kinds))


def test_a_sweep_is_one_kind_of_one_cell(plan: Callable[..., Plan]) -> None:
    made = plan(perturb=PERTURB, segmentation=None)
    assert [(s.title, len(s.stages)) for s in made.sweeps] == [
        ("detect on average under shift of infrared (seed 0)", 6),
        ("detect on average under noise on infrared (seed 0)", 3),
        ("detect on average under loss of an image (seed 0)", 6),
    ]


def test_images_made_elsewhere_and_scores_are_not_disturbed(
    plan: Callable[..., Plan], tmp_path: Path, scenes_root: Path
) -> None:
    folder = shutil.copytree(scenes_root / "m3fd" / "Vis", tmp_path / "ready")
    ready = {"name": "precomputed", "params": {"folder": str(folder)}}
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    made = plan(methods=["average", ready], perturb=PERTURB, scoring={"dataset": masks})
    assert made.blocked == ()
    assert {cell.method.row for cell in made.cells} == {"average", "precomputed"}
    assert {cell.method.row for cell in made.perturbed} == {"average"}
    assert {cell.task.name for cell in made.perturbed} == {"detection", "segmentation"}
    table = robustness_table(made, curves_of(made, Store(tmp_path / "empty")), task_of("detection"))
    assert table.notes[-1] == (
        "Not disturbed, because its images are made elsewhere of clean pairs: precomputed."
    )


def test_a_drawn_network_stays_the_one_that_fuses(
    plan: Callable[..., Plan], scenes_root: Path
) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    train = {"dataset": masks, "epochs": 1, "batch_size": 2, "crop": 32}
    method = {"name": "lkc_funet", "params": {"preset": "tiny"}, "train": train}
    made = plan(methods=[method], seeds=[0, 1], segmentation=None, perturb={"shift": [2]})
    for clean, cell in zip(made.cells, made.perturbed, strict=True):
        assert cell.result.inputs["fused"].inputs["weights"] is next(clean.stages)
    assert len({cell.result.inputs["fused"].key for cell in made.perturbed}) == 2


def test_plan_lists_the_disturbed_stages(
    write_experiment: Write,
    session_store: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_experiment(segmentation=None, perturb={"rotation": [3]})
    assert main(["plan", str(path), "--store", str(session_store)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    kinds = [line[2].split("/")[0] for line in lines if line[:2] == ["to", "run"]]
    assert kinds == ["fuse", "train_detector", "detect", "perturb", "fuse", "detect"]


# The stages, made in this process.


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def made_here(stage: Stage, store: Store) -> Path:
    """Make a stage and what it needs, as a worker would; return its directory."""

    def execute(made: Stage, out: Path) -> dict[str, Any]:
        job = job_of(made, store)
        inputs = {role: Path(path) for role, path in job["inputs"].items()}
        quiet = no_report("")
        return load_body(job["body"])(
            Job(job["kind"], job["spec"], inputs, job["local"], out, "cpu", 1, quiet)
        )

    for source in stage.inputs.values():
        made_here(source, store)
    make_stage(stage, store, execute, NO_SLOT)
    return store.directory(stage)


def fused_of(made: Plan, method: str, label: str) -> Stage:
    cells = (c for c in made.perturbed if c.perturbation and c.perturbation.label == label)
    return next(cell.result.inputs["fused"] for cell in cells if cell.method.row == method)


def test_test_pairs_are_disturbed_then_fused_and_nothing_else(
    plan: Callable[..., Plan], store: Store, scenes_root: Path
) -> None:
    methods = ["infrared", "visible", "average"]
    made = plan(methods=methods, segmentation=None, perturb={"shift": [4], "lost": ["visible"]})
    root = scenes_root / "m3fd"
    names = sorted(path.stem for path in (scenes_root / "msrs" / "test" / "vi").iterdir())
    found = {name: made_here(fused_of(made, name, "shift 4 px"), store) for name in methods}
    for folder in found.values():
        assert sorted(path.stem for path in (folder / "images").iterdir()) == names
    for name in names:
        infrared = read_rgb(root / "Ir" / f"{name}.png")
        moved = perturb(infrared, Perturbation("shift", 4.0), name)
        shown = {row: read_rgb(found[row] / "images" / f"{name}.png") for row in methods}
        assert np.array_equal(shown["infrared"], moved)
        assert np.array_equal(shown["visible"], read_rgb(root / "Vis" / f"{name}.png"))
        clean = made_here(made.cells[2].result.inputs["fused"], store) / "images" / f"{name}.png"
        assert not np.array_equal(shown["average"], read_rgb(clean))
        dark = made_here(fused_of(made, "visible", "no visible"), store) / "images" / f"{name}.png"
        assert not read_image(dark).any()


def test_images_found_by_name_are_never_taken_for_disturbed_ones() -> None:
    class Ready(FusionMethod):
        by_name = True

    class Program(Ready):
        def prepare(self, pairs: Any, out: Path) -> None:
            """Would fuse what it is told."""

    job = Job("fuse", {"method": "ready"}, {}, {}, Path(), "cpu", 1, no_report(""))
    with pytest.raises(InputError, match='"ready" fuses nothing here: its images were made'):
        _perturbed(job, Ready())
    with pytest.raises(KeyError, match="dataset"):  # goes on to look for the pairs
        _perturbed(job, Program())


# Curves, tables and pictures of whatever is finished.

Scores = Mapping[str, tuple[float, ...]]


def finish(store: Store, stage: Stage, score: float | None) -> None:
    """Commit a stage, and its inputs, with `score` as its headline."""
    if store.manifest(stage) is not None:
        return
    for source in stage.inputs.values():
        finish(store, source, None)
    per_class = dict.fromkeys(M3FD_CLASSES, score)
    metrics = {"AP50": per_class, "AP": per_class, "mAP50": score, "mAP": score}
    commit(store, stage, metrics=metrics, digest=stage.key)


LOSS = {"shift 2 px": 0.1, "shift 4 px": 0.2, "noise 20": 0.05, "no infrared": 0.3}


def score_of(cell: Cell) -> float:
    best = {"average": 0.6, "visible": 0.5}[cell.method.row]
    loss = LOSS.get(cell.perturbation.label, 0.0) if cell.perturbation else 0.0
    return best - (1 + cell.seed) * loss + 0.02 * cell.seed


@pytest.fixture
def made(plan: Callable[..., Plan]) -> Plan:
    return plan(methods=["visible", "average"], seeds=[0, 1], perturb=PERTURB, segmentation=None)


@pytest.fixture
def finished(made: Plan, store: Store) -> Plan:
    for cell in (*made.cells, *made.perturbed):
        finish(store, cell.result, score_of(cell))
    return made


def curve(found: tuple[Curve, ...], method: str, kind: str) -> Curve:
    return next(c for c in found if (c.method, c.kind) == (method, kind))


def test_a_curve_starts_at_the_clean_score(finished: Plan, store: Store) -> None:
    found = curves_of(finished, store)
    assert [(c.task, c.method, c.kind) for c in found][:3] == [
        ("detection", "visible", kind) for kind in ("shift", "infrared_noise", "lost")
    ]
    one = curve(found, "average", "shift")
    assert (one.unit, one.strengths, one.n) == ("px", (0.0, 2.0, 4.0), (2, 2, 2))
    # seed 0: 60, 50, 40; seed 1: 62, 42, 22
    assert one.values == pytest.approx((61.0, 46.0, 31.0))
    assert one.sd == pytest.approx((2**0.5, 32**0.5, 162**0.5))
    lost = curve(found, "visible", "lost")
    assert lost.strengths == ("clean", "infrared", "visible")
    assert lost.labels == ("clean", "no infrared", "no visible")


def test_the_change_is_taken_seed_by_seed(finished: Plan, store: Store) -> None:
    changes = curve(curves_of(finished, store), "average", "shift").changes
    assert changes[0] == Value(0.0, 0.0, 2)
    assert changes[1] is not None
    assert changes[1].mean == pytest.approx(-15.0)
    assert changes[1].sd == pytest.approx(50**0.5)  # of -10 and -20


def test_a_seed_without_its_partner_does_not_count_for_the_change() -> None:
    one = Curve("detection", "shift", "px", "m", (0.0, 2.0), ({0: 60.0, 1: 80.0}, {0: 50.0}))
    assert one.values == (70.0, 50.0)
    assert one.changes == (Value(0.0, 0.0, 2), Value(-10.0, None, 1))
    assert one.sd[1] is None


def test_the_table_has_a_column_per_strength_and_a_line_of_changes(
    finished: Plan, store: Store
) -> None:
    (table,) = disturbed_of(finished, store)
    head = ("clean", "shift 2 px", "shift 4 px", "noise 20", "no infrared", "no visible")
    assert table.columns == head
    rows = {row.label.strip(): row for row in table.rows}
    assert [row.label.strip() for row in table.rows] == [
        *("visible", "against clean", "average", "against clean")
    ]
    assert all(row.values[0] is None for row in table.rows if row.kind == "difference")
    assert [v.mean for v in rows["average"].values if v] == pytest.approx(
        [61.0, 46.0, 31.0, 53.5, 16.0, 61.0]
    )
    (line,) = [x for x in render(table, "md").splitlines() if x.startswith("| average")]
    assert line.startswith("| average | **61.0 ±1.4** | **46.0 ±5.7** |")
    lines = list(csv.reader(io.StringIO(render(table, "csv"))))
    assert lines[0][8:10] == ["shift 2 px", "shift 2 px sd"]
    assert lines[4][8] == "-15.0000"
    assert any(note.startswith("Shift of infrared: the infrared image") for note in table.notes)


def test_a_table_of_one_kind_is_narrow(finished: Plan, store: Store) -> None:
    tables = disturbed_of(finished, store, by_kind=True)
    assert [t.name for t in tables] == [
        f"detection-robustness-{kind}" for kind in ("shift", "infrared_noise", "lost")
    ]
    assert tables[2].columns == ("clean", "no infrared", "no visible")
    assert tables[2].title == "tiny: detection under loss of an image, mAP50 in percent"
    assert "noise" not in render(tables[2], "text")


def test_what_is_not_finished_leaves_a_gap(made: Plan, store: Store) -> None:
    for cell in made.cells:
        finish(store, cell.result, score_of(cell))
    half = [c for c in made.perturbed if c.perturbation == Perturbation("shift", 4.0)]
    finish(store, half[0].result, score_of(half[0]))  # visible, seed 0
    one = curve(curves_of(made, store), "visible", "shift")
    assert one.n == (2, 0, 1)
    assert one.values[1] is None
    assert one.changes[1] is None
    (table,) = disturbed_of(made, store)
    text = render(table, "text")
    assert "visible (1 of 2 seeds)" in text
    drawn = panel("shift", curves_of(made, store), LOOKS)
    known = [row["place"] for row in marks(drawn, "visible") if row["score"] is not None]
    assert known == [0.0, 4.0]


def test_nothing_finished_is_dots_and_an_undefined_score_is_a_dash(
    made: Plan, store: Store
) -> None:
    text = render(disturbed_of(made, store)[0], "text")
    line = next(line for line in text.splitlines() if line.startswith("average"))
    assert line.split()[1:] == ["..."] * 6
    finish(store, made.perturbed[0].result, None)
    assert curves_of(made, store)[0].n == (0, 0, 0)


LOOKS = looks([("visible", "visible"), ("average", "average")])


def marks(chart: Any, method: str) -> list[dict[str, Any]]:
    """Return what a chart draws of a method's scores."""
    rows = (row for part in chart.to_dict()["datasets"].values() for row in part)
    return [row for row in rows if row.get("method") == method and "score" in row]


def test_the_picture_has_a_panel_per_kind_and_a_line_per_method(
    finished: Plan, store: Store
) -> None:
    found = curves_of(finished, store)
    drawn = picture(found, LOOKS, "the title").to_dict()
    assert drawn["title"]["text"] == "the title"
    panels = drawn["vconcat"][0]["concat"]
    titles = [panel["layer"][-2]["encoding"]["text"]["value"] for panel in panels]
    assert titles == ["Shift of infrared", "Noise on infrared", "Loss of an image"]
    shift, lost = panel("shift", found, LOOKS), panel("lost", found, LOOKS)
    assert {row["method"] for name in LOOKS for row in marks(shift, name)} == set(LOOKS)
    points = {row["place"]: row["score"] for row in marks(shift, "average")}
    assert points == pytest.approx({0.0: 61.0, 2.0: 46.0, 4.0: 31.0})
    assert (marks(shift, "visible")[0]["dash"], marks(shift, "average")[0]["dash"]) == ([7, 3], [])
    first = marks(shift, "average")[0]
    assert (first["low"], first["high"]) == pytest.approx((61.0 - 2**0.5, 61.0 + 2**0.5))
    kinds = [[layer["mark"]["type"] for layer in one["layer"]] for one in panels]
    assert kinds[0][:3] == kinds[1][:3] == ["line", "rule", "point"]
    assert "line" not in kinds[2]
    axis = lost.to_dict()["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]
    assert axis.startswith('["clean", "no infrared", "no visible"]')
    assert panels[0]["layer"][0]["encoding"]["y"]["scale"]["domain"][0] == 0


def test_the_picture_of_a_plan_says_whose_score_it_is(finished: Plan, store: Store) -> None:
    ((name, chart),) = robustness_charts(read_results(finished, store))
    assert name == "detection-robustness"
    title = "tiny: detection on disturbed pairs, mAP50 in percent"
    assert chart.to_dict()["title"]["text"] == title  # type: ignore[attr-defined]


def test_pictures_and_tables_are_written_if_there_are_any(
    finished: Plan, store: Store, tmp_path: Path
) -> None:
    written = write_robustness(read_results(finished, store), tmp_path)
    stem = "detection-robustness"
    assert [path.name for path in written] == [f"{stem}.{kind}" for kind in ("png", "md", "csv")]
    assert read_rgb(written[0]).std() > 10
    assert (
        write_robustness(
            read_results(Plan(finished.experiment, finished.cells, ()), store), tmp_path
        )
        == []
    )


# The flow: clean cells first, then what their networks make of disturbed pairs.


def test_sweeps_whose_network_failed_are_not_run(made: Plan, store: Store) -> None:
    assert len(made.sweeps) == 12
    assert made.runnable_sweeps(store) == ()
    finish(store, made.cells[0].result, 0.5)  # visible, seed 0
    titles = [step.title for step in made.runnable_sweeps(store)]
    assert titles == [step.title for step in made.sweeps[:3]]


DETECTION = task_of("detection")


@pytest.fixture
def run(made: Plan, store: Store, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let the flow run without Prefect and MLflow: a step is finished by hand, unless it fails."""
    state = SimpleNamespace(made=[], failing="", published=[])
    scores = {cell.result.key: score_of(cell) for cell in (*made.cells, *made.perturbed)}

    class ByHand(flows.Work):
        def plan(self, *_: object) -> Plan:
            return made

        def run(self, plan: Plan, chains: Any, on_done: Any = None) -> list[str]:
            for step in (step for chain in chains for step in chain if not step.cached(store)):
                if state.failing and state.failing in step.title:
                    return [f"{step.title}: no memory"]
                state.made.append(step.title)
                for stage in step.stages:
                    finish(store, stage, scores.get(stage.key))
            return []

    class NoTracker:
        def __init__(self, *_: object) -> None:
            self.prepare, self.follow = lambda: None, lambda _: None
            self.lock = store.root / "mlflow.lock"

        def published(self, results: Results) -> bool:
            return len(results.perturbed) in state.published

        def publish(self, results: Results, tables: Sequence[Table], page: Path) -> None:
            assert page.is_file()
            state.published.append(len(results.perturbed))

    # Only a flow run may leave one, and this is none.
    monkeypatch.setattr(flows, "create_markdown_artifact", lambda *_, **__: None)
    work = ByHand(str(store.root), "cpu", 1)
    state.start = lambda: flows.run_experiment(work, "tiny", None, (DETECTION,), NoTracker)
    return state


def titles_of(tables: Sequence[Table]) -> list[str]:
    return [table.title.split(",")[0] for table in tables]


def test_the_clean_cells_come_first_and_a_second_run_makes_nothing(run: SimpleNamespace) -> None:
    comparison = run.start()
    under = [" under " in title for title in run.made]
    assert under == sorted(under)
    assert under.count(True) == 12
    assert titles_of(comparison.tables) == [
        "tiny: detection on boxes",
        "tiny: detection on disturbed pairs",
    ]
    written = comparison.page.stat().st_mtime_ns
    run.made.clear()
    assert run.start().tables == comparison.tables
    assert run.made == []
    assert comparison.page.stat().st_mtime_ns == written  # nothing new, so no other page


def test_a_sweep_that_fails_keeps_the_tables_and_is_made_by_the_next_run(
    run: SimpleNamespace, made: Plan, store: Store
) -> None:
    run.failing = "average under noise on infrared (seed 1)"
    with pytest.raises(RunFailed, match=r"seed 1\): no memory") as caught:
        run.start()
    assert len(caught.value.comparison.tables) == 2
    before, published = len(run.made), list(run.published)
    run.failing = ""
    run.start()
    assert 0 < len(run.made) - before < before
    assert len(run.published) == len(published) + 1
    assert all(curve.n == (2,) * len(curve.n) for curve in curves_of(made, store))


def test_mlflow_gets_tables_and_pictures_once(
    finished: Plan, store: Store, mlflow_template: SimpleNamespace
) -> None:
    shutil.copy(mlflow_template.path, store.root / "mlflow.db")
    results = read_results(finished, store)
    tracker = Tracker(finished, store)
    tracker.publish(results, disturbed_of(finished, store), store.root / "no.html")
    client = tracker.connect().client
    (run,) = client.search_runs(
        [tracker.connect().id], filter_string="tags.`fuse_then.kind` = 'experiment'"
    )
    stem = "tables/detection-robustness"
    found = {item.path for item in client.list_artifacts(run.info.run_id, "tables")}
    assert found == {f"{stem}.{kind}" for kind in ("md", "csv", "json", "png")}
    assert Tracker(finished, store).published(results)


def test_a_remembered_plan_keeps_its_disturbed_cells(finished: Plan, store: Store) -> None:
    remember(finished, store)
    (again,) = recall(store)
    assert [cell.title for cell in again.cells] == [cell.title for cell in finished.cells]
    assert [(cell.title, cell.result.key) for cell in again.perturbed] == [
        (cell.title, cell.result.key) for cell in finished.perturbed
    ]
    assert curves_of(again, store) == curves_of(finished, store)


def test_an_experiment_without_disturbances_keeps_its_identity(write_experiment: Write) -> None:
    spec = load_experiment(str(write_experiment()))
    later = ("perturb", "reconstruction", "seed_variance")
    before = {k: v for k, v in spec.model_dump(mode="json").items() if k not in later}
    for task in ("detection", "segmentation"):
        del before[task]["dataset"]["near_duplicates"], before[task]["grid"]
    for key in ("folds", "fold", "validated"):
        del before["detection"]["dataset"]["split"][key]
    assert spec_digest(spec) == digest(before)[:16]
    disturbed = load_experiment(str(write_experiment(perturb=PERTURB)))
    assert spec_digest(disturbed) != spec_digest(spec)
