"""Scores of folders and experiments: what is counted, what is left out, and how sure a mean is."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from readings import tables_of
from stand_ins import no_report

from fusion.errors import InputError
from fusion.pairs import list_pairs, write_png
from fusion.quality.folders import fused_images, score_images, summary
from fusion.quality.reading import read_for_metrics
from fusion.quality.scoring import score as quality_of
from fusion.quality.settings import METRICS, PAPER_METRICS, Convention
from pipelines.cli.app import main
from pipelines.datasets.opening import open_dataset
from pipelines.execution.devices import Slot
from pipelines.execution.runner import make_step
from pipelines.planning.plan import Plan
from pipelines.planning.planner import images_of, make_plan
from pipelines.results.finished import read_results
from pipelines.results.statistics.bootstrap import RESAMPLES, intervals, resamples
from pipelines.specs.dataset import DatasetSpec
from pipelines.specs.loading import load_experiment
from pipelines.store.store import Store
from pipelines.tasks.scoring import ScoringSpec, read_scores
from pipelines.tasks.task import task_of
from pipelines.views.pictures import gather_pictures, write_sheets
from pipelines.views.ranks import rank_chart, write_ranks

Write = Callable[..., Path]
SIZES = [(64, 48), (48, 64), (64, 48), (48, 64), (64, 48)]


def write_images(folder: Path, seed: int, names: str = "abcde") -> None:
    """Write smooth random colour images of two sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name, size in zip(names, SIZES, strict=False):
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        write_png(folder / f"{name}.png", np.asarray(cv2.resize(coarse, size), np.uint8))


@pytest.fixture
def folders(tmp_path: Path) -> SimpleNamespace:
    """Folders of five infrared, visible and fused images; `words` are the command's."""
    made = SimpleNamespace(root=tmp_path / "three")
    for seed, name in enumerate(("infrared", "visible", "fused")):
        write_images(made.root / name, seed)
        setattr(made, name, made.root / name)
    made.words = ["score"]
    for name in ("infrared", "visible", "fused"):
        made.words += [f"--{name}", str(made.root / name)]
    return made


def scored(folders: Any, *metrics: str) -> Any:
    pairs = list_pairs(folders.infrared, folders.visible)
    fused = fused_images(folders.fused, pairs)
    return score_images(pairs, fused, metrics or METRICS, "paper")


def test_a_section_takes_all_metrics_and_by_default_the_papers_ones() -> None:
    fields = ScoringSpec.model_fields
    assert get_args(get_args(fields["metrics"].annotation)[0]) == METRICS
    assert fields["metrics"].default == PAPER_METRICS == METRICS[:6]
    assert get_args(fields["convention"].annotation) == get_args(Convention)


@pytest.mark.parametrize("convention", ["paper", "released"])
def test_every_image_gets_the_metrics_own_values_whatever_its_size(
    folders: Any, convention: Convention
) -> None:
    pairs = list_pairs(folders.infrared, folders.visible)
    done: list[tuple[int, int]] = []
    found = score_images(
        pairs,
        fused_images(folders.fused, pairs),
        METRICS,
        convention,
        on_progress=lambda *step: done.append(step),
    )
    assert found.names == tuple("abcde")
    assert done[-1] == (5, 5)
    for row, pair in zip(found.values, pairs, strict=True):
        paths = (folders.fused / f"{pair.name}.png", pair.infrared, pair.visible)
        images = [torch.from_numpy(read_for_metrics(path))[None] for path in paths]
        alone = quality_of(images[0], images[1], images[2], METRICS, convention)
        assert row == pytest.approx([float(v) for v in alone.values()], rel=1e-12)


def test_more_images_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    names = [f"{n:02}" for n in range(19)]
    for seed, folder in enumerate(("infrared", "visible", "fused")):
        (tmp_path / folder).mkdir()
        for n, name in enumerate(names):
            image = np.full((48 + 2 * (n % 3), 48), 40 + 5 * n + seed, np.uint8)
            image[:, : n + 1] = 7
            write_png(tmp_path / folder / f"{name}.png", image)
    found = scored(
        SimpleNamespace(**{f: tmp_path / f for f in ("infrared", "visible", "fused")}), "SD"
    )
    assert found.names == tuple(names)
    expected = [read_for_metrics(tmp_path / "fused" / f"{name}.png").std() for name in names]
    assert found.values[:, 0] == pytest.approx(expected)


def test_undefined_values_are_left_out_with_count_and_reason(folders: Any) -> None:
    write_png(folders.fused / "b.png", read_for_metrics(folders.visible / "b.png"))
    found = scored(folders, "SD", "SCD")
    entry = summary(found)["SCD"]
    assert entry["n"] == 4
    assert np.isnan(found.values[1, 1])
    assert entry["mean"] == pytest.approx(np.delete(found.values[:, 1], 1).mean())
    ((reason, count),) = entry["undefined"].items()
    assert count == 1
    assert "visible" in reason
    assert summary(found)["SD"]["n"] == 5
    assert "undefined" not in summary(found)["SD"]


def test_resamples_depend_on_the_number_of_images_alone() -> None:
    drawn = resamples(7)
    assert drawn.shape == (RESAMPLES, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert np.array_equal(drawn, resamples(7))
    assert drawn.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)


def test_intervals_of_means_are_over_scenes() -> None:
    values = np.repeat(np.random.default_rng(0).normal(5, 1, (10, 1)), 4, axis=0)
    (alone,), (scenes,) = intervals(values), intervals(values, np.repeat(np.arange(10), 4))
    assert alone is not None
    assert scenes is not None
    assert scenes[1] - scenes[0] > 1.7 * (alone[1] - alone[0])
    assert intervals(values, np.zeros(40, np.intp)) == [None]


def test_intervals_are_percentiles_of_resampled_means_paired_over_metrics() -> None:
    from scipy import stats

    values = np.random.default_rng(1).normal(size=(30, 2))
    means = resamples(30) @ values / 30
    half = stats.t.ppf(0.975, 29) * (30 / 29) ** 0.5  # wider than 1.96: Hesterberg's percentiles
    expected = [tuple(np.percentile(one, 100 * stats.norm.cdf([-half, half]))) for one in means.T]
    assert intervals(values) == [pytest.approx(pair) for pair in expected]
    # A constant difference between two methods stays one in the ends of their intervals.
    (low, high), (low2, high2) = intervals(np.stack([values[:, 0], values[:, 0] + 3], axis=1))  # type: ignore[misc]
    assert (low2 - low, high2 - high) == (pytest.approx(3), pytest.approx(3))


def test_intervals_leave_out_what_is_undefined_and_need_two_images() -> None:
    nan = np.nan
    values = np.array([[1.0, nan, 5.0, 2.0], [3.0, nan, nan, 2.0], [nan, nan, nan, 2.0]])
    first, second, third, fourth = intervals(values)
    assert first is not None
    assert 1.0 <= first[0] < first[1] <= 3.0
    assert (second, third) == (None, None)
    assert fourth == (2.0, 2.0)


# The command


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_three_folders_are_scored(
    folders: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(folders.fused / "b.png", read_for_metrics(folders.visible / "b.png"))
    outputs = ["--json", tmp_path / "s.json", "--per-image", tmp_path / "scores.csv"]
    code, out, _ = run(*folders.words, *outputs, capsys=capsys)
    assert code == 0
    data = json.loads((tmp_path / "s.json").read_text())
    assert (data["convention"], data["images"]) == ("paper", 5)
    assert tuple(data["metrics"]) == METRICS
    names, metrics, values = read_scores(tmp_path)
    assert (names, metrics) == (tuple("abcde"), METRICS)
    sd = data["metrics"]["SD"]
    assert sd["mean"] == pytest.approx(values[:, 0].mean())
    assert sd["ci95"] == pytest.approx(list(intervals(values)[0] or ()))
    assert sd["n"] == 5
    with (tmp_path / "scores.csv").open() as stream:
        assert [row["SCD"] for row in csv.DictReader(stream)][1] == ""
    assert f"{sd['mean']:.4f}" in out
    assert "SCD is undefined for 1 of 5 images: " in out


def test_a_metric_that_is_never_defined_is_a_dash(
    folders: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*folders.words[:-1], str(folders.infrared)]
    code, out, _ = run(*words, "--metrics", "sd,SCD", "MSE", capsys=capsys)
    assert code == 0
    cells = {line.split()[1]: line.split()[3::2] for line in out.splitlines() if "│" in line}
    assert list(cells) == ["SD", "SCD", "MSE"]
    assert cells["SCD"] == ["-", "-", "0"]
    assert "SCD is undefined for 5 of 5 images: " in out


def remove_one(folders: Any) -> None:
    (folders.fused / "b.png").unlink()


def resize_one(folders: Any) -> None:
    write_png(folders.fused / "c.png", np.zeros((32, 32, 3), np.uint8))


def sixteen_bit(folders: Any) -> None:
    cv2.imwrite(str(folders.fused / "d.png"), np.zeros((64, 48), np.uint16))


def floating(folders: Any) -> None:
    (folders.visible / "a.png").unlink()
    cv2.imwrite(str(folders.visible / "a.tiff"), np.zeros((48, 64), np.float32))


def lone_pair(folders: Any) -> None:
    (folders.infrared / "e.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_one, r"fused has no fused image for b\.png \(1 of 5 are missing\)"),
        (resize_one, r"fused/c\.png is 32x32 but .*infrared/c\.png is 64x48"),
        (sixteen_bit, r"fused/d\.png is uint16, not 8-bit; convert it"),
        (floating, r"visible/a\.tiff is float32, not 8-bit; convert it"),
        (lone_pair, r"visible/e\.png has no partner in .*infrared"),
    ],
)
def test_images_that_do_not_fit_are_named(
    spoil: Callable[[Any], None],
    message: str,
    folders: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folders)
    code, out, err = run(*folders.words, capsys=capsys)
    assert (code, out) == (2, "")
    assert re.search(message, err), err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrics", "SSIMM"], 'no metric "SSIMM". Did you mean "SSIM"?'),
        (["--json", "/nowhere/s.json"], "The folder of /nowhere/s.json does not exist"),
        (["smoke"], "score takes either an EXPERIMENT or all of --infrared"),
    ],
)
def test_words_that_do_not_fit_are_told(
    words: list[str], message: str, folders: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(*folders.words, *words, capsys=capsys)
    assert (code, out) == (2, "")
    assert message in err


def test_options_of_folders_are_refused_for_experiments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("score", capsys=capsys)[0] == 2
    code, _, err = run("score", "smoke", "--per-image", "x.csv", capsys=capsys)
    assert code == 2
    assert "--per-image is for folders" in err


# The task of an experiment


@pytest.fixture
def medical(tmp_path: Path) -> dict[str, Any]:
    """A dataset that joins two parts, with the same names in both, in train and test folders."""
    root = tmp_path / "medical"
    given = {"train": ("ghi", "hij"), "test": ("abc", "bcd")}
    for n, split in enumerate(given):
        for m, (part, names) in enumerate(zip(("CT", "PET"), given[split], strict=True)):
            for k, kind in enumerate(("MRI", part)):
                write_images(root / split / f"{part}-MRI" / kind, 100 * n + 10 * m + k, names)
    return {
        "name": "medical",
        "layout": "pairs",
        "root": str(root),
        "parts": ["CT", "PET"],
        "infrared": "{split}/{part}-MRI/MRI",
        "visible": "{split}/{part}-MRI/{part}",
    }


def test_parts_are_joined_under_their_names(medical: dict[str, Any]) -> None:
    dataset = open_dataset(DatasetSpec.model_validate(medical))
    assert dataset.splits["test"] == ("CT-a", "CT-b", "CT-c", "PET-b", "PET-c", "PET-d")
    pair = dataset.pairs["PET-h"]
    assert pair.visible.relative_to(medical["root"]).as_posix() == "train/PET-MRI/PET/h.png"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": []}, 'parts and "{part}" in infrared or visible need each other'),
        ({"infrared": "{split}/a", "visible": "{split}/b"}, "need each other"),
        ({"parts": ["CT", "ct"]}, "parts names one part twice"),
        ({"parts": ["CT-1"]}, 'the part "CT-1" must be a word without'),
        ({"layout": "msrs", "labels": "{split}/l"}, "only layout pairs may have parts"),
    ],
)
def test_parts_that_make_no_sense(
    medical: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match="error") as caught:
        DatasetSpec.model_validate({**medical, **changes})
    assert message in str(caught.value)


def test_a_missing_part_is_told_with_the_expected_tree(medical: dict[str, Any]) -> None:
    spec = DatasetSpec.model_validate({**medical, "parts": ["CT", "SPECT"]})
    with pytest.raises(InputError, match=r"has no folder .*train/SPECT-MRI/MRI") as caught:
        open_dataset(spec)
    assert "test/SPECT-MRI/SPECT/*.png" in str(caught.value)


@pytest.fixture
def finish(
    write_experiment: Write, tmp_path: Path, shared_worker: SimpleNamespace
) -> Callable[..., tuple[Plan, Store]]:
    """Run an experiment that only scores, without Prefect."""

    def make(scoring: dict[str, Any], **changes: Any) -> tuple[Plan, Store]:
        given = {"detection": None, "segmentation": None, "scoring": scoring, **changes}
        spec = load_experiment(str(write_experiment(**given)))
        store = Store(tmp_path / "store")
        plan = make_plan(spec, store, (task_of("scoring"),), no_report, shared_worker.start)
        assert not plan.blocked
        for cell in plan.cells:
            for step in cell.steps:
                slots = [Slot("cpu", "test", 1)]
                make_step(step, store, slots, 60.0, no_report(""), shared_worker.start)
        return plan, store

    return make


def test_an_experiment_may_only_score_and_gets_a_table(
    finish: Callable[..., tuple[Plan, Store]], medical: dict[str, Any]
) -> None:
    methods = ["average", "maximum", "visible"]
    scoring = {"dataset": medical, "metrics": ["SD", "SCD", "MSE"]}
    plan, store = finish(scoring, methods=methods, seeds=[0, 1])
    (table,) = tables_of(plan, store, "scoring")
    assert table.columns == ("SD", "SCD", "MSE", "mean rank")
    assert [(row.label, row.finished, row.wanted) for row in table.rows] == [
        (name, 2, 2) for name in methods
    ]
    _, _, values = read_scores(store.directory(plan.cells[0].result))
    assert len(values) == 6  # the test images of both parts
    first = table.rows[0].values[0]
    assert first is not None
    assert first.mean == pytest.approx(values[:, 0].mean())
    assert first.sd is None  # nothing is trained: both seeds share one result
    assert first.ci95 == pytest.approx(intervals(values)[0])
    assert table.rows[2].values[1] is None
    assert any("visible: SCD is undefined for 6 of 6 images" in note for note in table.notes)


def test_only_the_test_images_are_fused_unless_another_task_needs_all(
    medical: dict[str, Any], write_experiment: Write, scenes_root: Path
) -> None:
    masks = {"name": "masks", "layout": "msrs", "root": str(scenes_root / "msrs")}
    alone = load_experiment(
        str(write_experiment(detection=None, segmentation=None, scoring={"dataset": masks}))
    )
    assert len(open_dataset(images_of(alone, task_of("scoring"))).pairs) == 4
    shared = load_experiment(str(write_experiment(scoring={"dataset": masks})))
    assert shared.segmentation is not None
    assert images_of(shared, task_of("scoring")) == shared.segmentation.dataset
    whole = open_dataset(images_of(shared, task_of("scoring")))
    assert (len(whole.pairs), len(whole.test)) == (12, 4)


def test_a_dataset_without_labels_and_split_is_scored_whole(
    finish: Callable[..., tuple[Plan, Store]], folders: Any
) -> None:
    dataset = {"name": "bare", "layout": "pairs", "root": str(folders.root)}
    plan, store = finish({"dataset": dataset, "metrics": ["SD"]})
    names, _, _ = read_scores(store.directory(plan.cells[0].result))
    assert names == tuple("abcde")
    (table,) = tables_of(plan, store, "scoring")
    assert not any("published split" in text for text in table.deviations)


def test_by_part_there_is_a_table_per_part(
    finish: Callable[..., tuple[Plan, Store]], medical: dict[str, Any]
) -> None:
    scoring = {"dataset": medical, "metrics": ["SD", "EN"], "by_part": True}
    plan, store = finish(scoring, methods=["average", "maximum"])
    tables = tables_of(plan, store, "scoring")
    assert [table.name for table in tables] == ["scoring-CT", "scoring-PET"]
    _, _, values = read_scores(store.directory(plan.cells[0].result))
    for table, rows in zip(tables, (values[:3], values[3:]), strict=True):
        value = table.rows[0].values[0]
        assert value is not None
        assert value.mean == pytest.approx(rows[:, 0].mean())
    assert tables[0].title.endswith("scoring on medical CT, image quality")
    drawn = gather_pictures(read_results(plan, store), tables_of(plan, store))
    names = {path.name for path in drawn.glob("comparison-*.png") if path.exists()}
    assert names == {"comparison-medical-CT.png", "comparison-medical-PET.png"}
    removed = store.directory(plan.cells[0].result.inputs["fused"]) / "images"
    shutil.rmtree(removed)
    before = set((store.root / "sheets").iterdir())
    write_sheets(read_results(plan, store), drawn)
    assert len(set((store.root / "sheets").iterdir()) - before) == 2  # without that method


def test_by_part_needs_parts(folders: Any) -> None:
    dataset = {"name": "bare", "layout": "pairs", "root": str(folders.root)}
    with pytest.raises(ValueError, match="by_part: the dataset bare has no parts"):
        ScoringSpec.model_validate({"dataset": dataset, "by_part": True})


def test_ranks_are_drawn_and_written(
    finish: Callable[..., tuple[Plan, Store]], medical: dict[str, Any], tmp_path: Path
) -> None:
    scoring = {"dataset": medical, "metrics": ["SD", "MSE"]}
    plan, store = finish(scoring, methods=["average", "maximum", "infrared"])
    (table,) = tables_of(plan, store, "scoring")
    picture, numbers = write_ranks(table, tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    means = json.loads(numbers.read_text())
    shown = {row.label: value.mean for row in table.rows if (value := row.values[-1]) is not None}
    assert means == pytest.approx(shown)
    assert list(means.values()) == sorted(means.values())
    assert sum(means.values()) == pytest.approx(6)
    chart = rank_chart(table)
    assert chart is not None
    rows = [row for part in chart.to_dict()["datasets"].values() for row in part]
    parts = [row for row in rows if "place" in row]
    assert sum(part["metrics"] for part in parts) == 3 * 2
    assert list(dict.fromkeys(part["method"] for part in parts)) == list(means)


def test_another_convention_is_another_result(
    finish: Callable[..., tuple[Plan, Store]], medical: dict[str, Any]
) -> None:
    made = []
    for convention in ("paper", "released"):
        plan, store = finish({"dataset": medical, "metrics": ["AG"], "convention": convention})
        made.append(store.manifest(plan.cells[0].result))
        fused = [cell.steps[0].stages[0].key for cell in plan.cells]
        made.append(fused)
    assert made[1] == made[3]
    assert made[0].metrics != made[2].metrics
