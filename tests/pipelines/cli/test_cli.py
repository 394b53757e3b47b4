from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from stand_ins import no_report, start_checker

from fusion.pairs import read_rgb
from pipelines.cli.app import main
from pipelines.cli.fuse import method_of
from pipelines.planning.planner import make_plan
from pipelines.results.comparison import Comparison, RunFailed
from pipelines.results.finished import read_results
from pipelines.results.tables import experiment_evidence
from pipelines.specs.experiment import ExperimentSpec
from pipelines.store.store import Store
from pipelines.tasks.task import Task, task_of, tasks

pytestmark = pytest.mark.process

Write = Callable[..., Path]


@pytest.fixture
def dataset(scenes: Path, tmp_path: Path) -> Path:
    """A dataset's YAML without a split, naming a copy of the scenes."""
    path = tmp_path / "mine.yaml"
    data = {"name": "mine", "layout": "m3fd", "root": str(scenes / "m3fd")}
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def store(session_store: Path) -> list[str]:
    return ["--store", str(session_store)]


def test_methods_are_listed_with_paper_licence_and_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["methods"]) == 0
    out = capsys.readouterr().out
    for name in ("average", "infrared", "visible", "lkc_funet", "precomputed"):
        assert f"\n{name}" in f"\n{out}"
    assert out.count("paper: ") == out.count("licence: ") == out.count("checkpoint: ")
    assert "presets: " in out


def test_methods_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    found = {card["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert found["lkc_funet"]["trainable"] is True
    assert found["average"]["trainable"] is False
    assert Path(found["average"]["path"]).name == "average.py"


def test_listing_methods_is_quick_because_it_loads_no_framework() -> None:
    code = (
        "import sys; from pipelines.cli.app import main; main(['methods']); "
        "slow = {'torch', 'prefect', 'mlflow', 'ultralytics'} & set(sys.modules); "
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_good_dataset_is_verified(
    dataset: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "verify", str(dataset), *store]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("mine: 12 pairs, layout m3fd, root ")
    assert "sizes     96x96: 12" in lines
    splits = [line for line in lines if line.split()[0] in ("train", "val", "test")]
    assert len(splits) == 3
    assert all("People " in line and "Truck " in line for line in splits)
    digests = {line.split()[0]: line.split()[1] for line in lines if line[:5] in ("pairs", "label")}
    assert {len(text) for text in digests.values()} == {64}
    assert set(digests) == {"pairs", "labels"}
    assert lines[-1] == "0 problems"


def test_every_problem_of_a_dataset_is_listed(
    dataset: Path, scenes: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((scenes / "m3fd" / "Ir").iterdir())
    images[0].write_bytes(b"broken")
    images[5].write_bytes(b"broken, too")
    assert main(["data", "verify", str(dataset), *store]) == 2
    out = capsys.readouterr().out
    for path in (images[0], images[5]):
        assert f"problem   {path} cannot be read as an image; replace the file." in out
    assert "2 problems" in out


def test_a_shipped_dataset_can_be_changed_and_verified(
    store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "scenes.train=3", "--set", "scenes.test=2"]
    assert main(["data", "verify", "smoke-segmentation", *small, *store]) == 0
    out = capsys.readouterr().out
    assert "smoke-segmentation: 5 pairs, layout msrs" in out
    assert "unlabelled " in out


def test_a_dataset_that_is_not_there_is_told(
    dataset: Path, scenes: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(scenes / "m3fd")
    assert main(["data", "verify", str(dataset), *store]) == 2
    err = capsys.readouterr().err
    assert err.startswith('fuse-then: The root of dataset "mine", ')
    assert "Annotation/*.xml" in err


def test_a_drawn_split_is_a_file_that_a_config_can_name(
    dataset: Path, tmp_path: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "splits" / "mine.yaml"
    command = ["data", "split", str(dataset), "--out", str(out), "--seed", "3", *store]
    assert main([*command, "--ratios", "2", "1", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"{out}: train " in printed
    assert printed.splitlines()[1:] == [str(out.with_suffix(s)) for s in (".svg", ".png")]
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert out.with_suffix(".svg").read_text().startswith("<svg")
    written = yaml.safe_load(out.read_text())
    assert (written["version"], written["seed"], written["ratios"]) == (2, 3, [2, 1, 1])
    assert len(written["pairs_digest"]) == 64
    first = out.read_bytes()
    capsys.readouterr()
    assert main([*command, "--ratios", "2", "1", "1"]) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*command, "--ratios", "2", "1", "1", "--overwrite"]) == 0
    assert out.read_bytes() == first
    named = ["--set", f"split={{file: {out}}}"]
    capsys.readouterr()
    assert main(["data", "verify", str(dataset), *named, *store]) == 0
    verified = capsys.readouterr().out
    assert f"test      {len(written['test'])} pairs; " in verified


def test_folds_are_a_file_that_a_config_can_name(
    dataset: Path, tmp_path: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "folds.yaml"
    near = ["--set", "near_duplicates=none"]
    assert (
        main(["data", "split", str(dataset), "--out", str(out), "--folds", "2", *near, *store]) == 0
    )
    assert f"{out}: fold 1 6, fold 2 6 pairs from 12 scenes" in capsys.readouterr().out
    for fold in (0, 1):
        split = f"split={{file: {out}, folds: 2, fold: {fold}}}"
        assert main(["data", "verify", str(dataset), "--set", split, *store]) == 0
        assert "test      6 pairs" in capsys.readouterr().out


@pytest.mark.parametrize("ratios", [["0", "0", "0"], ["8", "-1", "1"]])
def test_ratios_that_are_none_are_told(
    dataset: Path,
    tmp_path: Path,
    store: list[str],
    ratios: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "split.yaml"
    command = ["data", "split", str(dataset), "--out", str(out), *store, "--ratios", *ratios]
    assert main(command) == 2
    assert "ratios must be three whole numbers" in capsys.readouterr().err
    assert not out.exists()


def test_a_dataset_that_comes_split_has_none_to_draw(
    tmp_path: Path, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "x.yaml")]
    assert main(["data", "split", "smoke-segmentation", *out, *store]) == 2
    assert "comes with its split; there is none to draw" in capsys.readouterr().err


def test_two_folders_are_fused_into_a_third(
    scenes_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, root = tmp_path / "fused", scenes_root / "m3fd"
    folders = ["--infrared", str(root / "Ir"), "--visible", str(root / "Vis"), "--out", str(out)]
    assert main(["fuse", "average", *folders]) == 0
    assert capsys.readouterr().out.startswith(f"12 images in {out} (")
    names = sorted(path.name for path in out.glob("*.png"))
    assert names == sorted(path.name for path in (root / "Ir").iterdir())
    assert read_rgb(out / names[0]).shape == (96, 96, 3)


@pytest.mark.parametrize(
    ("title", "method"),
    [
        ("average", ("average", None)),
        ("lkc_funet/tiny", ("lkc_funet", "tiny")),
        ("lkc_funet-tiny", ("lkc_funet", "tiny")),
        ("../methods/lkc_funet-tiny", ("..", "methods/lkc_funet-tiny")),
    ],
)
def test_a_method_has_one_name_in_all_commands(title: str, method: tuple[str, str | None]) -> None:
    assert method_of(title) == method


def test_images_are_never_written_over(
    scenes_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    infrared, linked = tmp_path / "ir", tmp_path / "linked"
    shutil.copytree(scenes_root / "m3fd" / "Ir", infrared)
    linked.symlink_to(infrared)
    before = {path.name: path.read_bytes() for path in infrared.iterdir()}
    folders = ["--infrared", str(infrared), "--visible", str(scenes_root / "m3fd" / "Vis")]
    for out in (infrared, linked):
        assert main(["fuse", "average", *folders, "--out", str(out), "--overwrite"]) == 2
        assert "is one of the images to be fused" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in infrared.iterdir()} == before
    fused = ["fuse", "average", *folders, "--out", str(tmp_path / "fused")]
    assert main(fused) == 0
    assert main(fused) == 2
    assert "already holds 12 of the 12 images" in " ".join(capsys.readouterr().err.split())
    assert main([*fused, "--overwrite"]) == 0
    (tmp_path / "file").touch()
    assert main([*fused[:-1], str(tmp_path / "file")]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["averag"], 'There is no fusion method "averag". Did you mean "average"?'),
        (["lkc_funet/tinny"], 'has no preset "tinny". Did you mean "tiny"?'),
        (["lkc_funet-tinny"], 'There is no fusion method "lkc_funet-tinny".'),
        (["laplacian", "--set", "level=2"], 'has no parameter "level". Did you mean "levels"?'),
        (["average", "--set", "device=cpu"], '"device" is no parameter; write it beside params'),
        (["average", "--infrared", "/nowhere"], "The image folder /nowhere does not exist"),
    ],
)
def test_a_wrong_fusion_is_told(
    words: list[str],
    sentence: str,
    scenes_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = scenes_root / "m3fd"
    folders = ["--infrared", str(root / "Ir"), "--visible", str(root / "Vis")]
    command = ["fuse", words[0], *folders, "--out", str(tmp_path / "out"), *words[1:]]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_plan_says_what_is_to_run_and_why(
    write_experiment: Write,
    tmp_path: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["plan", str(write_experiment(segmentation=None)), "--store", str(tmp_path / "s")]
    assert main(command) == 0
    lines = capsys.readouterr().out.split("\n\nCost ")[0].splitlines()
    assert [line.split()[2].split("/")[0] for line in lines[:-1]] == [
        "fuse",
        "train_detector",
        "detect",
    ]
    assert all(line.startswith("to run") and "(not made yet)" in line for line in lines[:-1])
    assert lines[-1] == "3 to run"
    partial = tmp_path / "s" / "partial" / lines[1].split()[2].replace("/", "-")
    partial.mkdir()
    (partial / "log.txt").write_text("boom")
    assert main(command) == 0
    assert f"(begun or failed before: {partial}/log.txt)" in capsys.readouterr().out


def test_one_reason_is_printed_once(
    write_experiment: Write, store: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = {"name": "boxes", "layout": "m3fd", "root": "/nowhere"}
    detection = {"dataset": boxes, "epochs": 1}
    path = write_experiment(
        detection=detection, segmentation=None, methods=["visible", "average"], seeds=[0, 1, 2]
    )
    assert main(["plan", str(path), *store]) == 2
    out = capsys.readouterr().out
    assert out.count("does not exist") == 1
    assert "blocked   visible / detection / seed 0 (and 5 more): The root" in out
    assert out.split("\n\nCost ")[0].endswith("6 blocked")


def test_a_csv_file_holds_one_table(
    write_experiment: Write,
    store: list[str],
    tmp_path: Path,
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = ["table", str(write_experiment()), *store, "--format", "csv"]
    assert main(table) == 2
    said = capsys.readouterr().err
    assert "choose one with --task (detection, segmentation)" in " ".join(said.split())
    out = tmp_path / "detection.csv"
    chosen = [*table, "--task", "detection", "--columns", "mAP50", "--out", str(out)]
    assert main(chosen) == 0
    (line,) = csv.DictReader(io.StringIO(out.read_text()))
    assert (line["method"], line["seeds finished"], line["mAP50"]) == ("average", "0", "")
    assert "AP50 person" not in line
    assert main(chosen) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*chosen, "--overwrite"]) == 0
    assert main([*table, "--task", "detektion"]) == 2
    assert 'no table "detektion" here. Did you mean "detection"?' in capsys.readouterr().err


def test_what_reads_a_store_makes_none(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    for words in (["table", str(write_experiment())], ["report", "demo"], ["store", "verify"]):
        assert main([*words, "--store", str(nowhere)]) == 2
        assert f"There is no store at {nowhere}" in " ".join(capsys.readouterr().err.split())
    assert not nowhere.exists()


@pytest.mark.parametrize("form", ["text", "md", "latex", "booktabs", "json"])
def test_the_table_of_an_experiment_that_has_not_begun(
    form: str,
    write_experiment: Write,
    store: list[str],
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["table", str(write_experiment()), *store, "--format", form]) == 0
    out = capsys.readouterr().out
    assert "\033" not in out
    if form == "json":
        tables = json.loads(out)
        assert [table["task"] for table in tables] == ["detection", "segmentation"]
        assert {row["finished"] for table in tables for row in table["rows"]} == {0}
    else:
        assert out.count("...") > 6 + 9


@pytest.fixture
def flows() -> SimpleNamespace:
    """Flows that only note what they were asked, and `run`, a command line that has no others.

    The real ones are tested end to end.
    """
    calls: list[Any] = []
    fake = SimpleNamespace(calls=calls, failures=(), error=None)

    def compare(wanted: Iterable[Task], spec: ExperimentSpec, *given: Any) -> Comparison:
        calls.append((spec.words, given))
        if fake.error is not None:
            raise fake.error
        store = Store(Path(given[1]))
        results = read_results(make_plan(spec, store, wanted, no_report, start_checker), store)
        page = store.root / "no.html"
        found = Comparison(results, experiment_evidence(results), (), page, fake.failures)
        if fake.failures:
            raise RunFailed(found)
        return found

    fake.compare = partial(compare, tasks())
    for name, task in (("detect", "detection"), ("segment", "segmentation"), ("score", "scoring")):
        setattr(fake, f"fuse_then_{name}", partial(compare, (task_of(task),)))
    fake.train_fusion = lambda *_: [Path("weights.pt")]
    fake.run = partial(main, flows=lambda: contextlib.nullcontext(fake))
    return fake


def test_a_flow_gets_what_was_written_and_its_tables_are_printed(
    flows: SimpleNamespace,
    write_experiment: Write,
    session_store: Path,
    store: list[str],
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = str(write_experiment())
    command = ["detect", path, *store, "--set", "detection.epochs=2", "--jobs", "1"]
    assert flows.run(command) == 0
    words = (path, "--set", "detection.epochs=2")
    assert flows.calls == [(words, (None, str(session_store), None, 1))]
    out = capsys.readouterr().out
    assert "tiny: detection on boxes, AP50 in percent" in out
    assert "segmentation on" not in out
    assert f"Pictures    {session_store}/results/tiny" in out
    assert f"mlflow ui --backend-store-uri sqlite:///{session_store}/mlflow.db" in out


def test_a_failed_stage_is_exit_code_one_and_the_tables_are_still_printed(
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flows.failures = ("detect on average: it broke (log: /x/log.txt)",)
    assert flows.run(["compare", str(write_experiment()), *store]) == 1
    printed = capsys.readouterr()
    assert "fuse-then: detect on average: it broke (log: /x/log.txt)\n" in printed.err
    assert "tiny: segmentation on masks, IoU in percent" in printed.out


def test_a_trained_fusion_network_is_named(
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert flows.run(["train-fusion", str(write_experiment()), *store]) == 0
    assert capsys.readouterr().out == "weights.pt\n"


def test_an_experiment_is_scored_by_its_flow(
    flows: SimpleNamespace,
    write_experiment: Write,
    scenes_root: Path,
    session_store: Path,
    store: list[str],
    commands_share_a_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    path = str(write_experiment(scoring={"dataset": dataset}, detection=None))
    assert flows.run(["score", path, *store]) == 0
    assert flows.calls == [((path,), (None, str(session_store), None, None))]
    out = capsys.readouterr().out
    assert "tiny: scoring on masks, image quality" in out
    assert "segmentation on" not in out


@pytest.mark.parametrize("command", ["compare", "detect", "segment", "score", "train-fusion"])
def test_a_wrong_key_is_told_before_any_flow_starts(
    command: str,
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert flows.run([command, str(write_experiment(seed=[0])), *store]) == 2
    assert capsys.readouterr().err.endswith(
        'the key "seed" is unknown. Did you mean "seeds"? Available: detection, deviations, '
        "methods, name, paper, perturb, reconstruction, scoring, seed_variance, seeds, "
        "segmentation, timeout_hours.\n"
    )
    assert flows.calls == []


def test_a_task_that_the_experiment_does_not_have_is_told(
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert flows.run(["score", str(write_experiment()), *store]) == 2
    assert 'The experiment "tiny" has no scoring; give it one' in capsys.readouterr().err
    assert flows.calls == []


def test_an_interruption_is_told_without_a_traceback(
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    flows.error = KeyboardInterrupt()
    assert flows.run(["compare", str(write_experiment()), *store]) == 130
    assert capsys.readouterr().err == (
        "fuse-then: stopped; finished stages are kept, run again to go on.\n"
    )


def caused(error: Exception, cause: Exception) -> Exception:
    """Return an error that was raised because of another."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "{store}/no/a.png"), "a.png: No space left on"),
        (OSError(28, "No space left on device", "{store}/no/a.png"), "B free); make room; "),
        (OSError(5, "Input/output error"), "Input/output error; look after the disk; finished"),
        (PermissionError(13, "Permission denied", "a"), "a: Permission denied; ask for the right"),
        (caused(ValueError("?"), OSError(30, "Read-only", "a")), "a: Read-only; make it writable"),
        (sqlite3.OperationalError("database or disk is full"), "(database or disk is full): make"),
    ],
)
def test_what_the_machine_refuses_is_a_sentence(
    flows: SimpleNamespace,
    write_experiment: Write,
    store: list[str],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    if isinstance(error, OSError) and error.filename:
        error.filename = error.filename.format(store=store[-1])
    flows.error = error
    assert flows.run(["compare", str(write_experiment()), *store]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.endswith("finished stages are kept, so then run the same again.\n")


def test_a_bug_keeps_its_traceback(
    flows: SimpleNamespace, write_experiment: Write, store: list[str]
) -> None:
    flows.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        flows.run(["compare", str(write_experiment()), *store])
