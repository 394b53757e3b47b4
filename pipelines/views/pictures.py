"""An experiment's pictures in one folder: samples by readable names, ranks, comparison sheets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fusion.whole import is_whole_png
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.execution.job import pictured
from pipelines.results.finished import FinishedStage, Results
from pipelines.results.values import Table
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.digests import digest
from pipelines.tasks.fusion import FUSE
from pipelines.views.scans import link, write_scans
from pipelines.views.stage_charts import stage_charts

SHEET_PAIRS = 4
LONGEST_NAME = 120
"""In bytes, of the 255 that file systems take."""
BASELINES = ("infrared", "visible")
"""Methods that show a source as it is, which a sheet shows anyway."""


def gather_pictures(results: Results, tables: Iterable[Table]) -> Path:
    """Gather what the finished cells have drawn; draw ranks and comparison sheets; return where."""
    from pipelines.views.power import write_races
    from pipelines.views.printed import write_printed
    from pipelines.views.ranks import write_ranks
    from pipelines.views.robustness import write_robustness

    store = results.store
    folder = store.root / "results" / results.plan.experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    for one in results.cells:
        cell, row = one.cell, _file_name(one.cell.method.row)
        # What a row joins are the other rows' stages, and drawn as theirs.
        for stage in one.stages[-1:] if cell.method.joined else one.stages:
            kind = stage.stage.kind.name
            lot = f"-seed{cell.seed}{f'-fold{cell.fold.number + 1}' if cell.fold else ''}"
            seed = lot if kind != FUSE.name or cell.trains_fusion else ""
            title = f"{cell.method.row}, {cell.lot}"
            for path in (*_drawn(stage.folder), *stage_charts(stage.stage, store, title)):
                link(path, folder / f"{row}-{kind}{seed}-{path.name}")
    methods = [(method.row, method.name) for method in results.plan.experiment.methods]
    for table in tables:
        write_ranks(table, folder)
        write_printed(table, methods, folder)
    write_robustness(results, folder)
    write_races(results, folder)
    write_scans(results, folder)
    write_sheets(results, folder)
    return folder


def write_sheets(results: Results, folder: Path) -> list[Path]:
    """Draw the methods' fused test images side by side: a sheet per dataset, or per part of one.

    A sheet that shows these very images already is only linked again. A method that is trained
    once per seed is shown as its first seed made it; methods that are not fused yet, or whose
    images somebody has removed, are left out.
    """
    written, store = [], results.store
    for fused in _fused_by_dataset(results).values():
        stage = next(iter(fused.values())).stage
        dataset = open_dataset(DatasetSpec(**stage.local["dataset"]))
        for part in dataset.spec.parts or ("",):
            names = _names(dataset, part)
            folders = {row: one.folder / "images" for row, one in fused.items()}
            whole = {row: folder for row, folder in folders.items() if _holds(folder, names)}
            if not whole:
                continue
            key = digest([part, {row: fused[row].stage.key for row in whole}])[:16]
            drawn = store.root / "sheets" / f"{key}.png"
            if not is_whole_png(drawn):
                _draw(dataset, part, names, whole, drawn)
            shown = "-".join(filter(None, (dataset.spec.name, part)))
            target = folder / f"comparison-{_file_name(shown)}.png"
            link(drawn, target)
            written.append(target)
    return written


def _fused_by_dataset(results: Results) -> dict[str, dict[str, FinishedStage]]:
    """Return the finished fusing stages by row, for each set of pairs that is fused."""
    found: dict[str, dict[str, FinishedStage]] = {}
    for one in results.cells:
        method, fused = one.cell.method, one.fused
        if fused is not None and method.makes_images and method.name not in BASELINES:
            found.setdefault(fused.stage.spec["pairs"], {}).setdefault(method.row, fused)
    return found


def _names(dataset: Dataset, part: str) -> list[str]:
    """Return the few test pairs that a sheet shows."""
    names = [name for name in dataset.test if not part or dataset.part_of(name) == part]
    return pictured(names)[:SHEET_PAIRS]


def _holds(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / f"{name}.png").is_file() for name in names)


def _draw(
    dataset: Dataset, part: str, names: Sequence[str], folders: Mapping[str, Path], out: Path
) -> None:
    from fusion.looking.comparison_sheet import comparison_sheet
    from fusion.pairs import read_rgb

    rows = []
    for name in names:
        pair = dataset.pairs[name]
        paths = [pair.infrared, pair.visible, *(one / f"{name}.png" for one in folders.values())]
        rows.append((name, [read_rgb(path) for path in paths]))
    comparison_sheet(rows, [*_captions(dataset.spec, part), *folders], out)


def _captions(spec: DatasetSpec, part: str) -> list[str]:
    """Return what the sources are called: by their folders where the dataset joins modalities."""
    if not part:
        return ["infrared", "visible"]
    both = (folder.replace("{part}", part) for folder in (spec.infrared, spec.visible))
    return [folder.rsplit("/", 1)[-1] for folder in both]


def _drawn(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.png"), *folder.glob("samples/*.png")])


def _file_name(name: str) -> str:
    """Return a row's or a data set's name as part of a file's: no path, not too long."""
    whole = re.sub(r"[^\w.()+-]+", "_", name)
    if len(whole.encode()) <= LONGEST_NAME:
        return whole
    return f"{whole.encode()[:LONGEST_NAME].decode(errors='ignore')}-{digest(name)[:8]}"
