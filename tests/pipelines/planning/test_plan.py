from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from stages import kind_of
from stand_ins import no_report, start_checker

from fusion import registry
from fusion.errors import InputError
from fusion.pairs import write_png
from pipelines.cli import app as cli
from pipelines.datasets.split_files import read_scenes
from pipelines.execution.devices import Slot
from pipelines.execution.job import Job, Progress
from pipelines.execution.runner import Step, make_here, make_step
from pipelines.execution.usage import SAMPLES, read_samples, sampled
from pipelines.planning.plan import Plan
from pipelines.planning.planner import Planner, make_plan
from pipelines.planning.preparation import Preparation
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import load_experiment
from pipelines.specs.method import MethodSpec
from pipelines.store.code import code_digest
from pipelines.store.stage import Stage
from pipelines.store.store import Busy, Store
from pipelines.tasks import facts
from pipelines.tasks.facts import Facts
from pipelines.tasks.task import tasks

pytestmark = pytest.mark.process

Write = Callable[..., Path]
Change = Callable[[Path, dict[str, Any]], None]
CHECKS = {"check_method", "check_detector", "check_segmenter"}
CHEAP = {"scenes", "split", "near_duplicates", "index", "operations", *CHECKS}


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def with_objects(root: Path) -> Path:
    found = sorted((root / "m3fd" / "Annotation").iterdir())
    return next(path for path in found if "<name>Car</name>" in path.read_text())


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# What the user may have done wrong, each in one line: the data's folder and the experiment.


def lone_image(root: Path, data: dict[str, Any]) -> None:
    first(root / "m3fd" / "Vis").unlink()


def other_size(root: Path, data: dict[str, Any]) -> None:
    write_png(first(root / "m3fd" / "Vis"), np.zeros((64, 96, 3), np.uint8))


def no_image(root: Path, data: dict[str, Any]) -> None:
    first(root / "m3fd" / "Ir").write_bytes(b"not an image")


def broken_link(root: Path, data: dict[str, Any]) -> None:
    path = first(root / "m3fd" / "Ir")
    path.unlink()
    path.symlink_to(root / "gone.png")


def box_outside(root: Path, data: dict[str, Any]) -> None:
    path = with_objects(root)
    text = path.read_text()
    start = text.index("<xmax>")
    end = text.index("</xmax>")
    path.write_text(f"{text[:start]}<xmax>500{text[end:]}")


def unknown_class(root: Path, data: dict[str, Any]) -> None:
    edit(with_objects(root), "<name>Car</name>", "<name>Cart</name>")


def mask_id(root: Path, data: dict[str, Any]) -> None:
    path = first(root / "msrs" / "test" / "Segmentation_labels")
    ids = np.asarray(Image.open(path)).copy()
    ids[0, 0] = 9
    Image.fromarray(ids).save(path)


def empty_split(root: Path, data: dict[str, Any]) -> None:
    path = root / "m3fd" / "split.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "test": []}))


def empty_folder(root: Path, data: dict[str, Any]) -> None:
    for folder in ("ir", "vi"):
        for path in (root / "msrs" / "test" / folder).iterdir():
            path.unlink()


def no_root(root: Path, data: dict[str, Any]) -> None:
    data["detection"]["dataset"]["root"] = str(root / "elsewhere")


def unknown_key(root: Path, data: dict[str, Any]) -> None:
    data["detection"]["epohcs"] = data["detection"].pop("epochs")


def unknown_method(root: Path, data: dict[str, Any]) -> None:
    data["methods"] = ["laplacain"]


def unset_variable(root: Path, data: dict[str, Any]) -> None:
    data["detection"]["dataset"]["root"] = "${NOBODY_SETS_THIS}/M3FD"


def foreign(root: Path) -> str:
    path = root / "other.pt"
    torch.save({"stem.weight": torch.zeros(3, 3)}, path)
    return str(path)


def fusion_checkpoint(root: Path, data: dict[str, Any]) -> None:
    tiny = {"name": "lkc_funet", "params": {"preset": "tiny"}}
    data["methods"] = [{**tiny, "checkpoint": foreign(root)}]


def missing_checkpoint(root: Path, data: dict[str, Any]) -> None:
    data["methods"] = [{"name": "lkc_funet", "checkpoint": str(root / "gone.pt")}]


def no_checkpoint(root: Path, data: dict[str, Any]) -> None:
    data["methods"] = [{"name": "lkc_funet", "params": {"preset": "tiny"}}]


def detector_checkpoint(root: Path, data: dict[str, Any]) -> None:
    data["detection"]["initial_checkpoint"] = foreign(root)


def encoder_checkpoint(root: Path, data: dict[str, Any]) -> None:
    data["segmentation"]["encoder_checkpoint"] = foreign(root)


def missing_names(root: Path, data: dict[str, Any]) -> None:
    source = first(root / "m3fd" / "Vis")
    (root / "ready").mkdir()
    shutil.copy(source, root / "ready" / source.name)
    data["methods"] = [{"name": "precomputed", "params": {"folder": str(root / "ready")}}]


def nothing_to_train(root: Path, data: dict[str, Any]) -> None:
    train = {"dataset": data["segmentation"]["dataset"], "epochs": 1}
    data["methods"] = [{"name": "average", "train": train}]


def best_without_validation(root: Path, data: dict[str, Any]) -> None:
    data["detection"]["select"] = "best"


WRONG: list[tuple[Change, str]] = [
    (lone_image, "{root}/m3fd/Ir/{first} has no partner in {root}/m3fd/Vis; add the missing"),
    (other_size, "{root}/m3fd/Ir/{first} is 96x96 but {root}/m3fd/Vis/{first} is 96x64; a pair"),
    (no_image, "{root}/m3fd/Ir/{first} cannot be read as an image; replace the file."),
    (broken_link, "{root}/m3fd/Ir/{first} cannot be opened (No such file or directory); check"),
    (box_outside, "{car}: object 1 has a box (x1=*outside its image of 96x96 pixels; correct the"),
    (unknown_class, 'has the unknown class "Cart". Did you mean "Car"?'),
    (mask_id, "{root}/msrs/test/Segmentation_labels/{mask} holds class ids 9 but the allowed"),
    (empty_split, '{root}/m3fd/split.yaml has an empty split "test"; list at least one name.'),
    (empty_folder, "{root}/msrs/test/ir and {root}/msrs/test/vi hold no image; check the two"),
    (no_root, "{root}/elsewhere, does not exist; put the data there or give another root. Exp"),
    (unknown_key, 'the key "detection.epohcs" is unknown. Did you mean "epochs"?'),
    (unknown_method, 'There is no fusion method "laplacain". Did you mean "laplacian"?'),
    (unset_variable, "the environment variable NOBODY_SETS_THIS, which is not set; set it to"),
    (fusion_checkpoint, '{root}/other.pt does not fit the method "lkc_funet": weights are'),
    (missing_checkpoint, 'The file {root}/gone.pt of "lkc_funet.checkpoint" does not exist; check'),
    (no_checkpoint, 'The method "lkc_funet" has no weights in this experiment; give "checkpoint"'),
    (detector_checkpoint, "{root}/other.pt*; give "),
    (encoder_checkpoint, "No tensor of {root}/other.pt fits the encoder mobilenet_v2"),
    (missing_names, "{root}/ready lacks the fused images of 11 of 12 pairs ("),
    (nothing_to_train, 'The method "average" is inference only; take its "train" out.'),
    (best_without_validation, 'detection.select is "best", but the dataset "boxes" has no split'),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG, ids=[c.__name__ for c, _ in WRONG])
def test_wrong_input_is_one_sentence_and_nothing_is_trained(
    change: Change,
    sentence: str,
    scenes: Path,
    write_experiment: Write,
    session_store: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = {
        "root": scenes,
        "first": first(scenes / "m3fd" / "Ir").name,
        "car": with_objects(scenes),
        "mask": first(scenes / "msrs" / "test" / "Segmentation_labels").name,
    }
    data = yaml.safe_load(write_experiment(scenes).read_text())
    change(scenes, data)
    path = write_experiment(scenes, **data)
    assert cli.main(["plan", str(path), "--store", str(session_store)]) == 2
    printed = capsys.readouterr()
    told = [
        line
        for line in (printed.out + printed.err).splitlines()
        if line.startswith(("blocked", "fuse-then:"))
    ]
    assert len(told) == 1
    for part in sentence.format(**known).split("*"):
        assert part in told[0]
    assert "Traceback" not in printed.out + printed.err
    assert ("Annotation/*.xml" in printed.out) == (change is no_root)
    for place in ("stages", "partial"):
        kinds = {path.name.split("-")[0] for path in (session_store / place).glob("*")}
        assert kinds <= CHEAP


@pytest.fixture
def plan(
    write_experiment: Write, session_store: Path, shared_worker: SimpleNamespace
) -> Callable[..., Plan]:
    """Plan the tiny experiment with changes, in the session's store."""

    def make(**changes: Any) -> Plan:
        spec = load_experiment(str(write_experiment(**changes)))
        return make_plan(spec, Store(session_store), tasks(), no_report, shared_worker.start)

    return make


def by_title(made: Plan) -> Mapping[str, Any]:
    return {cell.title: cell for cell in made.cells}


def test_a_good_experiment_is_planned_whole(plan: Callable[..., Plan]) -> None:
    made = plan(methods=["visible", "average"], seeds=[0, 1])
    assert made.blocked == ()
    assert len(made.cells) == 2 * 2 * 2
    cell = by_title(made)["average / detection / seed 1"]
    assert [stage.kind.name for stage in cell.stages] == ["fuse", "train_detector", "detect"]
    assert not cell.trains_fusion


def test_tasks_share_the_fused_images_of_the_same_pairs(plan: Callable[..., Plan]) -> None:
    made = plan(seeds=[0, 1])
    fused = {next(iter(cell.stages)).key for cell in made.cells}
    assert len(made.cells) == 4
    assert len(fused) == 1


def test_seeds_give_results_of_their_own(plan: Callable[..., Plan]) -> None:
    made = plan(seeds=[0, 1, 2])
    assert len({cell.result.key for cell in made.cells}) == 6


def test_more_methods_and_seeds_leave_the_others_alone(plan: Callable[..., Plan]) -> None:
    few = by_title(plan(methods=["average"], seeds=[1]))
    many = by_title(plan(methods=["visible", "average"], seeds=[2, 1]))
    for title, cell in few.items():
        assert cell.result.key == many[title].result.key


@pytest.mark.parametrize(("seed", "trainings"), [(None, 2), (7, 1)])
def test_a_network_is_trained_per_seed_unless_its_seed_is_fixed(
    plan: Callable[..., Plan], scenes_root: Path, seed: int | None, trainings: int
) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    train = {"dataset": masks, "epochs": 1, "batch_size": 2, "crop": 32, "seed": seed}
    method = {"name": "lkc_funet", "params": {"preset": "tiny"}, "train": train}
    made = plan(methods=[method], seeds=[0, 1])
    assert made.blocked == ()
    assert all(cell.trains_fusion for cell in made.cells)
    assert len({next(iter(cell.stages)).key for cell in made.cells}) == trainings
    assert len({list(cell.stages)[1].key for cell in made.cells}) == trainings
    titles: dict[str, set[str]] = {}
    for step in (step for cell in made.cells for step in cell.steps):
        titles.setdefault(step.title, set()).add(step.stages[-1].key)
    assert all(len(keys) == 1 for keys in titles.values())


def test_a_bad_dataset_blocks_its_own_cells_only(
    plan: Callable[..., Plan], scenes: Path, scenes_root: Path
) -> None:
    mask_id(scenes, {})
    bad = {"name": "masks", "layout": "msrs", "root": str(scenes / "msrs")}
    small = {"architecture": "DeepLabV3Plus", "encoder": "mobilenet_v2", "height": 96, "width": 96}
    made = plan(segmentation={"dataset": bad, "epochs": 1, **small}, methods=["average", "visible"])
    assert {cell.task.name for cell in made.cells} == {"detection"}
    assert [title for title, _ in made.blocked] == [
        "average / segmentation / seed 0",
        "visible / segmentation / seed 0",
    ]


def test_more_cells_look_up_no_more_facts(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def counted(module: str) -> str:
        seen.append(module)
        return code_digest(module)

    monkeypatch.setattr(facts, "code_digest", counted)
    made = plan(methods=["average", "maximum"], seeds=[0, 1, 2])
    assert len(made.cells) == 12
    assert sorted(seen) == ["fusion.methods.average", "fusion.methods.maximum"]


def test_a_bad_dataset_is_looked_through_once(
    write_experiment: Write, scenes: Path, session_store: Path
) -> None:
    first(scenes / "m3fd" / "Vis").write_bytes(b"no image")
    looks: list[str] = []

    def counted(title: str) -> Progress:
        return lambda done, total, remark: looks.append(f"{title}: {done}")

    spec = load_experiment(str(write_experiment(scenes, seeds=[0, 1, 2], segmentation=None)))
    made = make_plan(spec, Store(session_store), tasks(), counted, start_checker)
    assert looks == [f"checking boxes: {number}" for number in range(1, 13)]
    assert len(made.blocked) == 3
    (why,) = {why for _, why in made.blocked}
    assert "cannot be read as an image" in why


def test_keys_do_not_depend_on_where_the_data_lies(
    plan: Callable[..., Plan], scenes: Path, scenes_root: Path
) -> None:
    here, there = plan(root=scenes_root), plan(root=scenes)
    assert here.digest == there.digest


def test_a_changed_image_changes_every_key(plan: Callable[..., Plan], scenes: Path) -> None:
    before = plan(root=scenes)
    for layout in ("m3fd/Vis", "msrs/test/vi"):
        path = scenes / layout / first(scenes / "msrs" / "test" / "vi").name
        write_png(path, np.full((96, 96, 3), 9, np.uint8))
    after = plan(root=scenes)
    keys = [{stage.key for cell in made.cells for stage in cell.stages} for made in (before, after)]
    assert keys[0].isdisjoint(keys[1])


PLUGIN = '''"""Plug: half the sum.

Paper: none
Licence: MIT
Checkpoint: none
"""

from fusion.method import FusionMethod


class Plug(FusionMethod):
    def forward(self, infrared, visible):
        return (infrared + visible) / 2
'''


def test_a_changed_method_file_makes_its_images_stale_but_no_others(
    tmp_path: Path,
    scenes_root: Path,
    write_experiment: Write,
    session_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "plug_module.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    point = SimpleNamespace(name="plug", value="plug_module")
    monkeypatch.setattr(registry, "entry_points", lambda **_: [point])
    spec = load_experiment(str(write_experiment()))
    assert spec.detection is not None
    dataset = spec.detection.dataset

    def keys() -> list[str]:
        store = Store(session_store)
        with Preparation(store, no_report) as ready:
            planner = Planner(ready.open, Facts(store.digests))
            methods = [MethodSpec(name=name) for name in ("plug", "average")]
            return [planner.fused(method, dataset, 0)[0].key for method in methods]

    before = keys()
    (tmp_path / "plug_module.py").write_text(PLUGIN + "\n# a comment\n")
    assert keys() == before
    (tmp_path / "plug_module.py").write_text(PLUGIN.replace("/ 2", "/ 3"))
    after = keys()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_precomputed_images_count_by_their_bytes(
    plan: Callable[..., Plan], tmp_path: Path, scenes_root: Path
) -> None:
    folder = Path(shutil.copytree(scenes_root / "m3fd" / "Vis", tmp_path / "ready"))
    method = {"name": "precomputed", "params": {"folder": str(folder)}}
    before = plan(methods=[method])
    write_png(first(folder), np.full((96, 96, 3), 9, np.uint8))
    after = plan(methods=[method])
    assert before.blocked == after.blocked == ()
    assert {c.result.key for c in before.cells}.isdisjoint({c.result.key for c in after.cells})


def test_a_split_is_drawn_once_and_its_scenes_are_kept_whole(
    plan: Callable[..., Plan], scenes_root: Path, session_store: Path
) -> None:
    boxes = {"name": "boxes", "layout": "m3fd", "root": str(scenes_root / "m3fd")}
    detection = {"dataset": boxes, "model": "yolov5n", "image_size": 96, "epochs": 1}
    made = plan(detection=detection, segmentation=None)
    assert made.blocked == ()
    local = made.cells[0].result.local["dataset"]
    names = yaml.safe_load(Path(local["split"]["file"]).read_text())
    assert sum(len(names[split]) for split in ("train", "val", "test")) == 12
    assert Path(local["split"]["file"]).is_relative_to(session_store / "stages" / "split")


@pytest.mark.parametrize("given", ["found", "none", "FILE"])
def test_near_duplicates_are_found_or_said(
    plan: Callable[..., Plan], scenes_root: Path, session_store: Path, tmp_path: Path, given: str
) -> None:
    names = sorted(path.stem for path in (scenes_root / "msrs" / "test" / "ir").iterdir())
    known = tmp_path / "known.yaml"
    known.write_text(yaml.safe_dump({"scenes": {"drive": names[:3]}}))
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    scoring = {
        "dataset": {**masks, "near_duplicates": str(known) if given == "FILE" else given},
        "metrics": ["SD"],
    }
    made = plan(detection=None, segmentation=None, scoring=scoring)
    (cell,) = made.cells
    scenes = read_scenes(DatasetSpec(**cell.result.local["dataset"]))
    if given == "found":
        assert sorted(scenes) == names
        place = Path(cell.result.local["dataset"]["near_duplicates"])
        assert place.is_relative_to(session_store / "stages" / "near_duplicates")
    else:
        assert scenes == ({} if given == "none" else dict.fromkeys(names[:3], "drive"))
    plain = plan(detection=None, segmentation=None, scoring={**scoring, "dataset": masks})
    assert plain.cells[0].result.key == cell.result.key  # it is how sure, not what came out


# The runner: from a planned step to a committed directory.

SLOT = (Slot("cpu", "test-slot", 1),)


def test_a_step_is_made_once_and_says_what_it_was_made_of(
    write_experiment: Write, tmp_path: Path, shared_worker: SimpleNamespace
) -> None:
    store = Store(tmp_path / "store")
    spec = load_experiment(str(write_experiment(detection=None)))
    made = make_plan(spec, store, tasks(), no_report, shared_worker.start)
    step = made.cells[0].steps[0]
    shared_worker.started.clear()
    assert not step.cached(store)
    seen: list[int] = []
    start = shared_worker.start
    make_step(step, store, SLOT, 60.0, lambda done, total, _: seen.append(done), start)
    assert step.cached(store)
    assert seen[-1] == 12
    (stage,) = step.stages
    manifest = store.manifest(stage)
    assert manifest is not None
    assert manifest.metrics["images"] == 12
    assert manifest.spec["method"] == "average"
    assert (manifest.device, manifest.threads) == ("cpu", 1)
    assert manifest.versions["torch"] == torch.__version__.split("+")[0]
    assert all((manifest.commit, manifest.machine.cores, manifest.command, manifest.digest))
    assert manifest.started.startswith("20")
    assert manifest.seconds > 0
    assert len(list((store.directory(stage) / "images").glob("*.png"))) == 12
    assert (store.directory(stage) / "samples.png").is_file()
    make_step(step, store, SLOT, 60.0, lambda *_: None, start)
    assert shared_worker.started == ["cpu"]


@pytest.fixture
def fake() -> Callable[..., Stage]:
    """Register a stage whose body is given; it has one product, the file "result"."""

    def make(body: Callable[[Job], dict[str, Any]], resumable: bool = False, **spec: Any) -> Stage:
        return Stage(kind_of(body, resumable=resumable), spec)

    return make


def quiet(done: int, total: int, remark: str) -> None:
    pass


def test_a_failed_stage_is_never_cached(fake: Callable[..., Stage], tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []

    def body(job: Job) -> dict[str, Any]:
        calls.append(sorted(path.name for path in job.out.iterdir()))
        (job.out / "result").write_text("half")
        if len(calls) == 1:
            raise InputError("x is wrong; mend it.")
        return {"n": len(calls)}

    stage = fake(body)
    with pytest.raises(InputError, match="mend it"):
        make_here(stage, store, quiet)
    assert store.manifest(stage) is None
    assert store.partial(stage).is_dir()
    folder = make_here(stage, store, quiet)
    assert make_here(stage, store, quiet) == folder
    assert calls == [[], []]
    manifest = store.manifest(stage)
    assert manifest is not None
    assert manifest.metrics == {"n": 2}


def test_a_resumable_stage_finds_what_it_left(fake: Callable[..., Stage], tmp_path: Path) -> None:
    store, calls = Store(tmp_path), []

    def body(job: Job) -> dict[str, Any]:
        calls.append(sorted(path.name for path in job.out.iterdir()))
        (job.out / "result").write_text("state")
        if len(calls) == 1:
            raise KeyboardInterrupt
        return {}

    stage = fake(body, resumable=True)
    with pytest.raises(KeyboardInterrupt):
        make_here(stage, store, quiet)
    make_here(stage, store, quiet)
    assert calls == [[], ["result"]]


def test_the_seconds_of_an_interrupted_run_count(
    fake: Callable[..., Stage], tmp_path: Path
) -> None:
    store = Store(tmp_path)

    def body(job: Job) -> dict[str, Any]:
        (job.out / "result").write_text("state")
        if not (job.out / SAMPLES).exists():
            (job.out / SAMPLES).write_text("seconds,cpu_percent,memory_megabytes\n90.0,1,1\n")
            raise KeyboardInterrupt
        with sampled(job.out):
            pass
        return {}

    stage = fake(body, resumable=True)
    with pytest.raises(KeyboardInterrupt):
        make_here(stage, store, quiet)
    lines = read_samples(make_here(stage, store, quiet))
    assert [round(line["seconds"], -1) for line in lines] == [90, 90]
    manifest = store.manifest(stage)
    assert manifest is not None
    assert 90 < manifest.seconds < 100


def test_who_comes_second_waits_and_takes_the_result(
    fake: Callable[..., Stage], tmp_path: Path
) -> None:
    calls: list[str] = []
    begun, waiting = threading.Event(), threading.Event()

    class Watched(Store):
        @contextmanager
        def claim(self, stage: Stage, *, keep: bool) -> Iterator[Path]:
            try:
                with super().claim(stage, keep=keep) as partial:
                    yield partial
            except Busy:
                waiting.set()
                raise

    store = Watched(tmp_path)

    def body(job: Job) -> dict[str, Any]:
        calls.append(job.kind)
        begun.set()
        assert waiting.wait(30)
        (job.out / "result").write_text("done")
        return {}

    stage = fake(body)
    first_one = threading.Thread(target=make_here, args=(stage, store, quiet))
    first_one.start()
    assert begun.wait(30)
    folder = make_here(stage, store, quiet)
    assert (folder / "result").read_text() == "done"
    assert calls == ["fake"]


def test_the_same_input_with_another_result_makes_downstream_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store, text, calls = Store(tmp_path), ["one"], []

    def upstream(job: Job) -> dict[str, Any]:
        (job.out / "result").write_text(text[0])
        return {}

    def downstream(job: Job) -> dict[str, Any]:
        calls.append((job.inputs["source"] / "result").read_text())
        (job.out / "result").write_text("r")
        return {}

    source = Stage(kind_of(upstream, "up"), {})
    target = Stage(kind_of(downstream, "down"), {}, {"source": source})
    for stage in (source, target):
        make_here(stage, store, quiet)
    text[0] = "two"
    shutil.rmtree(store.directory(source))
    assert Step("x", (target,)).cached(store)
    make_here(source, store, quiet)
    assert not Step("x", (target,)).cached(store)
    make_here(target, store, quiet)
    assert calls == ["one", "two"]
