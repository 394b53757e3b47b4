"""The drawn scenes on disk: folders laid out as M3FD (boxes) and MSRS (masks) have them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import yaml

from fusion.errors import InputError
from fusion.pairs import write_png
from pipelines.datasets.scenes.scene import Scene, draw_scene


def write_scenes(
    root: Path,
    *,
    seed: int,
    train: int,
    val: int,
    test: int,
    height: int,
    width: int,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Write `train` + `val` + `test` scenes of `height` x `width` pixels under `root`.

    ``root/m3fd`` holds Ir, Vis, Annotation (VOC XML) and split.yaml; ``root/msrs`` holds train
    (the names of train and val) and test, each with ir, vi and Segmentation_labels. The images
    of both are the same files. `on_progress` is called with the number of scenes written so far.
    Raises InputError when a count is out of range or when `root` already holds scenes.
    """
    counts = {"train": train, "val": val, "test": test}
    _check_target(root, counts)
    split: dict[str, list[str]] = {part: [] for part in counts}
    parts = [part for part, count in counts.items() for _ in range(count)]
    for index, part in enumerate(parts):
        scene = draw_scene(seed, index, height, width)
        _write_scene(root, scene, "test" if part == "test" else "train")
        split[part].append(scene.name)
        if on_progress is not None:
            on_progress(index + 1)
    text = yaml.safe_dump(
        {"version": 1, "seed": seed, "method": "as drawn", **split}, sort_keys=False
    )
    (root / "m3fd" / "split.yaml").write_text(text, encoding="utf-8")


def _check_target(root: Path, counts: dict[str, int]) -> None:
    if min(counts.values()) < 0 or not 1 <= sum(counts.values()) <= 99_999:
        raise InputError(
            f"{counts} scenes cannot be written; ask for none or more per part, 1 to 99999 in all."
        )
    for folder in (root / "m3fd", root / "msrs"):
        if folder.exists():
            raise InputError(f"{folder} already exists; remove it or choose another folder.")


def _write_scene(root: Path, scene: Scene, part: str) -> None:
    m3fd, msrs, file = root / "m3fd", root / "msrs" / part, f"{scene.name}.png"
    for folder in (m3fd / "Ir", m3fd / "Vis", m3fd / "Annotation"):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (msrs / "ir", msrs / "vi", msrs / "Segmentation_labels"):
        folder.mkdir(parents=True, exist_ok=True)
    write_png(m3fd / "Ir" / file, scene.infrared)
    write_png(m3fd / "Vis" / file, scene.visible)
    _link(m3fd / "Ir" / file, msrs / "ir" / file)
    _link(m3fd / "Vis" / file, msrs / "vi" / file)
    write_png(msrs / "Segmentation_labels" / file, scene.mask)
    (m3fd / "Annotation" / f"{scene.name}.xml").write_bytes(_annotation(scene))


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy where the disk has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _annotation(scene: Scene) -> bytes:
    """Return the boxes as Pascal VOC has them: pixels from 1, the last one included."""
    height, width = scene.mask.shape
    top = ElementTree.Element("annotation")
    ElementTree.SubElement(top, "filename").text = f"{scene.name}.png"
    _numbers(top, "size", {"width": width, "height": height, "depth": 3})
    for name, x1, y1, x2, y2 in scene.boxes:
        thing = ElementTree.SubElement(top, "object")
        ElementTree.SubElement(thing, "name").text = name
        _numbers(thing, "bndbox", {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": x2, "ymax": y2})
    ElementTree.indent(top)
    text: bytes = ElementTree.tostring(top, encoding="utf-8")
    return text


def _numbers(parent: ElementTree.Element, tag: str, values: dict[str, int]) -> None:
    element = ElementTree.SubElement(parent, tag)
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)
