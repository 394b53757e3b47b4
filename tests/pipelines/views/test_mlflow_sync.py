from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from stages import by_hand, commit, facts

from fusion.errors import InputError
from fusion.generation.folder import fuse_folder
from fusion.pairs import ImagePair, read_image, write_png
from fusion.registry import build_method, load_method, method_class, resolve_params
from fusion.weights.checkpoints import save_checkpoint
from pipelines.cli.app import main
from pipelines.execution.runner import Step, job_of
from pipelines.execution.usage import SAMPLES, read_samples
from pipelines.execution.worker import Worker
from pipelines.planning.memory import recall, remember
from pipelines.planning.plan import Cell, Plan
from pipelines.results.finished import read_results, read_stage
from pipelines.specs.loading import load_experiment
from pipelines.store.stage import Kind, Stage
from pipelines.store.store import MANIFEST, USAGE, Store
from pipelines.tasks import detection, fusion
from pipelines.tasks.task import task_of
from pipelines.views.tracking.cells import CellRun
from pipelines.views.tracking.metrics import POINTS, curve
from pipelines.views.tracking.models import MODEL as MODEL_TAG
from pipelines.views.tracking.models import WEIGHTS, registered_name
from pipelines.views.tracking.pyfunc import _load_pyfunc
from pipelines.views.tracking.tracker import Tracker
from segmentation.datasets import MSRS_CLASSES

pytestmark = pytest.mark.process

MODEL = "fuse-then-LKC-FUNet-tiny"
IOU = dict.fromkeys(MSRS_CLASSES[1:], 0.5) | {"unlabelled": None}
SEGMENTED = {"iou": IOU, "miou": 0.5, "miou_foreground": 0.5}
FUSION_HISTORY = "epoch,total,ssim,seconds\n1,2.5,1.5,9\n2,1.5,0.5,9\n"


def plan_of(name: str = "smoke", weights: str = "a") -> Plan:
    """Return smoke's segmentation, two seeds on one trained network, made by hand."""
    changes: dict[str, Any] = {"name": name, "detection": None, "seeds": [0, 1], "paper": {}}
    spec = load_experiment("smoke", changes)
    assert spec.segmentation is not None
    told = spec.segmentation.dataset.model_dump(mode="json")
    local = {"dataset": {**told, "scenes": None, "root": "/gone"}}
    index = by_hand("index", 1, {"split": "0123456789"}, local=local)
    facts = {"method": "lkc_funet", "params": {"preset": "tiny"}, "pairs": {"train": weights * 64}}
    network = by_hand("train_fusion", 1, facts, local=local)
    cells = []
    for method in spec.methods:
        trained = {"weights": network} if method.train else {}
        fused = by_hand("fuse", 1, {"method": method.name}, trained)
        before = [Step("train", (network,))] if method.train else []
        for seed in spec.seeds:
            inputs = {"fused": fused, "index": index}
            training = by_hand("train_segmenter", 1, {"seed": seed}, inputs)
            final = by_hand("segment", 1, {}, {"segmenter": training, **inputs})
            steps = (*before, Step("fuse", (fused,)), Step("segment", (training, final)))
            cells.append(Cell(method, task_of("segmentation"), seed, steps))
    return Plan(spec, tuple(cells), ())


def finish(store: Store, stage: Stage) -> None:
    """Finish a stage and what it is made of, with what a run would leave."""
    if store.manifest(stage) is not None:
        return
    for source in stage.inputs.values():
        finish(store, source)
    with store.claim(stage, keep=False) as out:
        digest = _leave(stage, out)
        (out / SAMPLES).write_text(
            "seconds,cpu_percent,memory_megabytes\n5.0,98.5,300.0\n7.5,20.0,310.0\n"
        )
        (out / USAGE).write_text('{"cpu_seconds": 1.5, "peak_memory_megabytes": 100.5}')
        store.commit(stage, facts(digest=digest, seconds=2.0, metrics=SEGMENTED))


def _leave(stage: Stage, out: Path) -> str:
    if stage.kind.name == "train_fusion":
        torch.manual_seed(ord(stage.spec["pairs"]["train"][0]))
        network = build_method("lkc_funet", "tiny")
        params = resolve_params("lkc_funet", method_class("lkc_funet"), "tiny", {})
        save_checkpoint(out / "weights.pt", "lkc_funet", params, network.state_dict())
        (out / "history.csv").write_text(FUSION_HISTORY)
        return str(stage.spec["pairs"]["train"])
    if stage.kind.name == "train_segmenter":
        (out / "history.csv").write_text("epoch,loss,learning_rate,val_miou\n1,2.25,0.01,nan\n")
    if stage.kind.name == "fuse":
        write_png(out / "samples.png", np.zeros((8, 8), np.uint8))
    return stage.key


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a finished, remembered experiment and its report."""
    store, plan = Store(tmp_path_factory.mktemp("sync") / "store"), plan_of()
    for cell in plan.cells:
        finish(store, cell.result)
    remember(plan, store)
    (store.root / "reports").mkdir()
    (store.root / "reports" / "smoke.html").write_text("<html>")
    return store.root


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(finished, tmp_path / "store")))


@pytest.fixture
def uri(tmp_path: Path, mlflow_template: SimpleNamespace) -> str:
    """An empty MLflow database."""

    return f"sqlite:///{shutil.copy(mlflow_template.path, tmp_path / 'mlflow.db')}"


def client(uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=uri)


def runs(uri: str, name: str = "smoke") -> list[Run]:
    found = client(uri).get_experiment_by_name(f"fuse-then/{name}")
    assert found is not None
    ids = [run.info.run_id for run in client(uri).search_runs([found.experiment_id])]
    # A search does not tell which models a run has used.
    return sorted(map(client(uri).get_run, ids), key=lambda run: str(run.info.run_name))


def artifacts(uri: str, run: str, folder: str | None = None) -> list[str]:
    found: list[str] = []
    for item in client(uri).list_artifacts(run, folder):
        found += artifacts(uri, run, item.path) if item.is_dir else [item.path]
    return sorted(found)


def shown(uri: str, run: Run) -> dict[str, Any]:
    """Return all that a run shows, but for ids that no two databases share."""
    points = [
        (point.key, point.value, point.timestamp, point.step)
        for key in sorted(run.data.metrics)
        for point in client(uri).get_metric_history(run.info.run_id, key)
    ]
    data = [
        (d.dataset.name, d.dataset.digest, d.dataset.source, [tag.value for tag in d.tags])
        for d in run.inputs.dataset_inputs
    ]
    own = ("fuse_then.id", "mlflow.parentRunId")
    return {
        "info": (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "tags": {k: v for k, v in run.data.tags.items() if k not in own},
        "params": run.data.params,
        "points": points,
        "data": sorted(data),
        "models": len(run.inputs.model_inputs) + 10 * len(run.outputs.model_outputs),
        "files": artifacts(uri, run.info.run_id),
    }


def everything(uri: str) -> list[Any]:
    versions = client(uri).search_model_versions(f"name = '{MODEL}'")
    models = [
        (v.version, v.tags.keys(), v.tags[WEIGHTS], v.description, v.status) for v in versions
    ]
    return [*(shown(uri, run) for run in runs(uri)), models]


def sync(store: Store, uri: str, *names: str) -> None:
    assert main(["mlflow", "sync", *names, "--store", str(store.root), "--uri", uri]) == 0


@pytest.fixture(scope="module")
def whole(finished: Path, mlflow_template: SimpleNamespace) -> list[Any]:
    """All that a sync shows that nobody interrupts."""
    uri = f"sqlite:///{shutil.copy(mlflow_template.path, finished.parent / 'whole.db')}"
    sync(Store(finished), uri)
    return everything(uri)


def test_all_is_made_again_in_any_database_and_never_doubled(
    store: Store, uri: str, whole: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sync(store, uri)
    out = capsys.readouterr().out
    assert "4 runs written, 0 there already, 0 cells not finished, 1 new models" in out
    ids = [run.info.run_id for run in runs(uri)]
    before = everything(uri)
    sync(store, uri, "smoke")
    assert "0 runs written, 4 there already" in capsys.readouterr().out
    assert [run.info.run_id for run in runs(uri)] == ids
    assert everything(uri) == before == whole


def test_a_run_shows_curves_costs_data_and_its_network(store: Store, uri: str) -> None:
    sync(store, uri)
    (run,) = [r for r in runs(uri) if r.info.run_name == "segment LKC-FUNet (tiny) s1"]
    told = shown(uri, run)
    points = {(key, step): value for key, value, _, step in told["points"]}
    assert [points["train_fusion/total", epoch] for epoch in (1, 2)] == [2.5, 1.5]
    assert points["train_segmenter/loss", 1] == 2.25
    trained = [key for key, step in points if step and not key.startswith("system/")]
    assert not any("val_miou" in key or "seconds" in key for key in trained)
    moments = [at for key, _, at, step in told["points"] if key == "train_fusion/total"]
    assert moments[1] - moments[0] == 1000  # half of the training's two seconds
    metrics = run.data.metrics
    costs = {key: metrics[f"system/{key}"] for key in ("seconds", "cpu_seconds")}
    assert costs == {"seconds": 8.0, "cpu_seconds": 6.0}  # four stages
    assert metrics["system/peak_memory_megabytes"] == 100.5
    sampled = [(at, v) for key, v, at, _ in told["points"] if key == "system/segment/cpu_percent"]
    assert [value for _, value in sorted(sampled)] == [98.5, 20.0]
    assert max(sampled)[0] - min(sampled)[0] == 2500
    key = {stage.key for cell in plan_of().cells for stage in cell.result.inputs.values()}
    data = {(name, contexts[0]): digest for name, digest, _, contexts in told["data"]}
    assert data.pop(("smoke-segmentation/train", "training: fusion")) == "a" * 16
    assert data.keys() == {
        ("smoke-segmentation/test", "evaluation"),
        ("smoke-segmentation/train", "training: segmentation"),
    }
    assert set(data.values()) <= key
    assert {source for _, _, source, _ in told["data"]} == {'{"uri": "/gone"}'}
    assert {"fuse/samples.png", "train_fusion/history.csv", "segment/manifest.json"} <= {
        *told["files"]
    }
    (version,) = client(uri).search_model_versions(f"name = '{MODEL}'")
    assert [model.model_id for model in run.inputs.model_inputs] == [version.tags[MODEL_TAG]]
    assert sorted(run.data.params)[:5] == ["dataset", "method", "seed", "split", "task"]
    assert run.data.params["uses.weights"] == "a" * 12
    assert run.data.tags["split"] == "folders 01234567"


def test_the_parent_shows_tables_spec_and_report(store: Store, uri: str) -> None:
    sync(store, uri)
    (parent,) = [run for run in runs(uri) if run.data.tags["fuse_then.kind"] == "experiment"]
    tables = [f"tables/segmentation.{suffix}" for suffix in ("csv", "json", "md")]
    files = artifacts(uri, parent.info.run_id)
    assert files == ["experiment.json", "report/smoke.html", *tables]
    assert parent.data.tags["fuse_then.command"] == "it"
    cells = [run.info for run in runs(uri) if run.info.run_id != parent.info.run_id]
    assert parent.info.start_time == min(info.start_time for info in cells)
    assert parent.info.end_time == max(info.end_time for info in cells)


INTERRUPTIONS = [
    (MlflowClient, "log_model_artifacts"),
    (MlflowClient, "create_model_version"),
    (MlflowClient, "log_inputs"),
    (CellRun, "files"),
    (Tracker, "_log_row"),
]


@pytest.mark.parametrize(("owner", "name"), INTERRUPTIONS)
def test_an_interrupted_sync_is_completed_by_the_next(
    owner: Any,
    name: str,
    store: Store,
    uri: str,
    whole: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    words = ["mlflow", "sync", "--store", str(store.root), "--uri", uri]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, crash)
        assert main(words) == 130
    sync(store, uri)
    assert everything(uri) == whole
    found = client(uri).get_experiment_by_name("fuse-then/smoke")
    assert len(client(uri).search_logged_models([found.experiment_id])) == 1


def test_a_version_is_a_distinct_set_of_weights(store: Store, uri: str) -> None:
    used = set()
    for name, weights in (("smoke", "a"), ("again", "a"), ("other", "b")):
        plan = plan_of(name, weights)
        for cell in plan.cells[2:]:
            finish(store, cell.result)
        remember(plan, store)
        sync(store, uri, name)
        used |= {m.model_id for run in runs(uri, name) for m in run.inputs.model_inputs}
    versions = client(uri).search_model_versions(f"name = '{MODEL}'")
    weights_of = {int(v.version): v.tags["fuse_then.weights"][0] for v in versions}
    assert weights_of == {1: "a", 2: "b"}
    assert used == {version.tags[MODEL_TAG] for version in versions}


def test_a_network_is_registered_though_no_cell_is_finished(
    tmp_path: Path, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, plan = Store(tmp_path / "store"), plan_of()
    finish(store, plan.cells[2].steps[0].stages[0])
    remember(plan, store)
    sync(store, uri)
    assert "4 cells not finished, 1 new models" in capsys.readouterr().out
    (parent,) = runs(uri)
    assert parent.info.status == "FAILED"


def publish(tracker: Tracker, plan: Plan, store: Store) -> None:
    tracker.publish(read_results(plan, store), [], store.root / "reports" / "smoke.html")


def test_a_cell_made_again_with_another_result_is_another_run(store: Store, uri: str) -> None:
    plan = plan_of()
    Tracker(plan, store, uri).sync(lambda *_: None)
    path = store.directory(plan.cells[0].result) / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "digest": "new", "started": "2026-02-02T00:00:00Z"}))
    tracker = Tracker(plan, store, uri)
    publish(tracker, plan, store)
    assert tracker.counts == {"known": 3, "logged": 1, "models": 0}
    idle = Tracker(plan, store, uri)
    idle.prepare()
    publish(idle, plan, store)
    assert idle._experiment is None  # nothing is new, so MLflow was not even asked


@pytest.fixture
def pairs(tmp_path: Path) -> list[ImagePair]:
    """A colour pair of odd size, and one without colour."""
    dice, made = np.random.default_rng(0), []
    for name, channels in (("colour", 3), ("gray", 1)):
        infrared, visible = (tmp_path / f"{name}-{kind}.png" for kind in ("ir", "vi"))
        write_png(infrared, dice.integers(0, 256, (37, 50), np.uint8))
        levels = dice.integers(0, 256, (37, 50, channels), np.uint8)
        write_png(visible, np.broadcast_to(levels, (37, 50, 3)))
        made.append(ImagePair(name, infrared, visible))
    return made


LOADED_ELSEWHERE = """
import sys, mlflow, numpy
from fusion.pairs import read_image, write_png
from pathlib import Path
uri, folder, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
network = mlflow.pyfunc.load_model("models:/fuse-then-LKC-FUNet-tiny/1")
for name in ("colour", "gray"):
    infrared, visible = (read_image(Path(folder, f"{name}-{kind}.png")) for kind in ("ir", "vi"))
    write_png(Path(out, f"{name}.png"), network.predict({"infrared": infrared, "visible": visible}))
"""


def test_a_registered_network_fuses_as_the_command_does(
    store: Store, uri: str, pairs: list[ImagePair], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    sync(store, uri)
    weights = store.directory(plan_of().cells[2].steps[0].stages[0]) / "weights.pt"
    fuse_folder(load_method("lkc_funet", weights), pairs, ours)
    theirs.mkdir()
    shutil.rmtree(store.root)  # the version carries what it needs
    words = [sys.executable, "-c", LOADED_ELSEWHERE, uri, str(tmp_path), str(theirs)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("colour", "gray"):
        assert (theirs / f"{name}.png").read_bytes() == (ours / f"{name}.png").read_bytes()
    assert read_image(theirs / "gray.png").ndim == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"visible": np.zeros((9, 8, 3), np.uint8)}, "one size"),
        ({"visible": np.zeros((8, 8, 3))}, "visible is float64"),
        ({"infrared": None}, 'no "infrared"'),
    ],
)
def test_a_registered_network_says_what_is_wrong_with_a_pair(
    change: dict[str, Any], sentence: str, finished: Path
) -> None:
    weights = Store(finished).directory(plan_of().cells[2].steps[0].stages[0]) / "weights.pt"
    pair = {"infrared": np.zeros((8, 8), np.uint8), "visible": np.zeros((8, 8, 3), np.uint8)}
    given = {key: value for key, value in {**pair, **change}.items() if value is not None}
    with pytest.raises(InputError, match=sentence):
        _load_pyfunc(str(weights), {"device": "cpu"}).predict(given)


def test_weights_of_nobody_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="does not say which method"):
        _load_pyfunc(str(tmp_path / "weights.pt"))


def test_a_plan_is_remembered_to_the_last_key(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), plan_of()
    path = remember(plan, store)
    written = path.stat().st_mtime_ns
    assert remember(plan, store) == path
    assert path.stat().st_mtime_ns == written
    (known,) = recall(store)
    assert known.experiment == plan.experiment
    assert known.digest == plan.digest
    for ours, theirs in zip(known.cells, plan.cells, strict=True):
        assert (ours.title, ours.method) == (theirs.title, theirs.method)
        assert [s.title for s in ours.stages] == [s.title for s in theirs.stages]
        assert [step.title for step in ours.steps] == [step.title for step in theirs.steps]


def test_a_part_of_an_experiment_does_not_replace_the_other(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), plan_of()
    detected = [Cell(c.method, task_of("detection"), c.seed, c.steps) for c in plan.cells]
    remember(Plan(plan.experiment, tuple(detected), ()), store)
    remember(Plan(plan.experiment, plan.cells[:2], ()), store)
    (known,) = recall(store)
    assert [cell.task.name for cell in known.cells] == ["detection"] * 4 + ["segmentation"] * 2


def test_the_command_says_what_it_cannot_do(
    tmp_path: Path, store: Store, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert main(["mlflow", "sync", *words]) == 2
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    assert "remembers no experiment" in refused("--store", str(tmp_path / "empty"))
    ours = ("--store", str(store.root))
    assert "no longer keeps runs in a folder" in refused(*ours, "--uri", str(tmp_path / "mlruns"))
    assert "Did you mean" in refused("smokke", *ours)
    sync(store, uri)
    client(uri).delete_experiment(runs(uri)[0].info.experiment_id)
    assert "was deleted in" in refused(*ours, "--uri", uri)
    (path,) = (store.root / "experiments").glob("*.json")
    path.write_text(path.read_text().replace('"timeout_hours"', '"timeout_days"'))
    assert "written by another version" in refused(*ours)
    path.write_text("{")
    assert "is damaged" in refused(*ours)


def test_names_are_those_that_the_registry_takes() -> None:
    assert registered_name("LKC-FUNet (tiny)") == MODEL
    assert registered_name("a/b:c. d%") == "fuse-then-a-b-c-d"


def epochs_of(folder: Path, kind: Kind, text: str) -> Sequence[Mapping[str, float]]:
    """Return the epochs of a finished training that left `text`."""
    store = Store(folder / "store")
    stage = Stage(replace(kind, products=()), {})
    commit(store, stage)
    finished = read_stage(stage, store)
    assert finished is not None
    if finished.history is not None:
        path = finished.folder / finished.history.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return finished.epochs


def test_long_curves_are_thinned_to_their_last_point(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n / 4}\n" for n in range(1, 1302))
    found = list(curve(epochs_of(tmp_path, fusion.TRAIN, f"epoch,total\n{rows}")))
    assert len(found) <= POINTS
    assert found[-1] == (1301, 1.0, {"total": 1301 / 4})
    assert {b[0] - a[0] for a, b in pairwise(found)} == {3}


def test_a_detectors_curves_have_short_names(tmp_path: Path) -> None:
    text = "epoch,time,train/box_loss,metrics/mAP50(B),lr/pg0\n1,3.5,0.25,nan,0.01\n"
    epochs = epochs_of(tmp_path, detection.TRAIN, text)
    assert list(curve(epochs)) == [(1, 1.0, {"box_loss": 0.25, "lr/pg0": 0.01})]
    assert list(curve(epochs_of(tmp_path, fusion.FUSE, ""))) == []


def test_a_worker_tells_what_a_stage_cost(one_worker: Worker, tmp_path: Path) -> None:
    spec = {"method": "average", "params": {}, "train": False, "code": "x"}
    job = job_of(Stage(fusion.CHECK, spec), Store(tmp_path / "store"))
    one_worker.run(job, tmp_path, lambda *_: None)
    usage = json.loads((tmp_path / USAGE).read_text())
    assert usage.keys() == {"cpu_seconds", "peak_memory_megabytes"}
    assert 0 <= usage["cpu_seconds"] < 60
    assert 50 < usage["peak_memory_megabytes"] < 100_000  # it has imported torch
    last = read_samples(tmp_path)[-1]  # a stage of less than five seconds has its end alone
    assert 0 <= last["seconds"] < 60
    assert 50 < last["memory_megabytes"] < 100_000


def test_what_a_stage_cost_joins_its_manifest(finished: Path) -> None:
    store = Store(finished)
    stage = plan_of().cells[0].result
    manifest = store.manifest(stage)
    assert manifest is not None
    assert (manifest.cpu_seconds, manifest.peak_memory_megabytes) == (1.5, 100.5)
    assert not (store.directory(stage) / USAGE).exists()
