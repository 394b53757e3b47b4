"""Pictures of shorter scans: whole and reconstructed slices, and what each method makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fusion.reconstruction.undersampling import Undersampling
from fusion.whole import is_whole_png
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.results.finished import Results
from pipelines.results.undersampled import reconstruction_folders
from pipelines.specs.dataset import DatasetSpec
from pipelines.store.digests import digest

WHOLE, SLICE = "full", "MRI"
SHOWN = 3
"""Slices of a dataset without parts; else one of each part."""
LOOK = 1
"""The version of the sheets' look: under a new one all are drawn again."""


@dataclass(frozen=True)
class Shown:
    """A row of pictures of the pair `name`: its slice, or what a method made of it, by scan."""

    name: str
    label: str
    pictures: Mapping[str, Path]


def shown_scans(results: Results) -> list[Shown]:
    """Return the rows of a few pairs, each first its slices and then every method's images.

    Only what is finished, and whose images nobody has removed, in all scans.
    """
    scans = reconstruction_folders(results)
    whole = next((one for one in results.cells if one.cell.task.per_image), None)
    if not scans or whole is None:
        return []
    dataset = open_dataset(DatasetSpec(**whole.cell.result.local["dataset"]))
    folders = {how: made.folder / "images" for how, made in scans.items()}
    fused = {
        row: images for row, images in _fused(results).items() if {None, *scans} <= images.keys()
    }
    found = []
    for name in _names(dataset):
        own = {WHOLE: dataset.pairs[name].infrared}
        own |= {how.label: folder / f"{name}.png" for how, folder in folders.items()}
        found.append(Shown(name, SLICE, own))
        for row, images in fused.items():
            made = {WHOLE: images[None] / f"{name}.png"}
            made |= {how.label: images[how] / f"{name}.png" for how in folders}
            found.append(Shown(name, row, made))
    return [one for one in found if all(path.is_file() for path in one.pictures.values())]


def _fused(results: Results) -> dict[str, dict[Undersampling | None, Path]]:
    """Return the folders of fused images by row and scan, those of the first finished seed."""
    found: dict[str, dict[Undersampling | None, Path]] = {}
    for one in (*results.cells, *results.perturbed):
        how, fused = one.cell.perturbation, one.cell.result.inputs["fused"]
        if one.cell.method.name == "infrared":
            continue  # which is the slice itself
        if one.cell.task.per_image and (how is None or isinstance(how, Undersampling)):
            images = results.store.directory(fused) / "images"
            found.setdefault(one.cell.method.row, {}).setdefault(how, images)
    return found


def _names(dataset: Dataset) -> list[str]:
    names = list(dataset.test)
    parts = dataset.spec.parts
    if parts:
        each = ([name for name in names if dataset.part_of(name) == part] for part in parts)
        return [mine[len(mine) // 2] for mine in each if mine]
    return names[:: max(1, len(names) // SHOWN)][:SHOWN]


def write_scans(results: Results, folder: Path) -> list[Path]:
    """Write a sheet for each of a few pairs into `folder`: a row a method, a column a scan."""
    from fusion.looking.contact_sheet import contact_sheet
    from fusion.pairs import read_rgb

    written = []
    for name, rows in _by_name(shown_scans(results)):
        key = digest([LOOK, [[one.label, sorted(map(str, one.pictures.values()))] for one in rows]])
        drawn = results.store.root / "sheets" / f"{key[:16]}.png"
        if not is_whole_png(drawn):
            pictures = [
                (f"{one.label}, {name}", [read_rgb(path) for path in one.pictures.values()])
                for one in rows
            ]
            contact_sheet(pictures, list(rows[0].pictures), drawn)
        target = folder / f"reconstruction-{name}.png"
        link(drawn, target)
        written.append(target)
    return written


def _by_name(rows: list[Shown]) -> Iterator[tuple[str, list[Shown]]]:
    for name in dict.fromkeys(one.name for one in rows):
        yield name, [one for one in rows if one.name == name]


def link(path: Path, target: Path) -> None:
    """Let `target` show the picture at `path`, whatever it showed before, in one step.

    Two runs may show the same pictures at once.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(path)
    part.replace(target)
