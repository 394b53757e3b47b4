"""The embedded dataset: drawn infrared/visible street scenes with boxes and masks.

Each modality alone misses something: people and running engines glow in the infrared image and
drown in the dark or camouflaged visible one; lamps, cones, lane curves, car stops, guardrails,
bumps and parked cars show in the visible image and have the temperature of their surroundings.
The folders are laid out as M3FD (boxes) and MSRS (masks) have them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import yaml

from fusion.errors import InputError
from fusion.pairs import Image, write_png
from pipelines.datasets.scenes.canvas import (
    Camera,
    Canvas,
    Rng,
)
from pipelines.datasets.scenes.furniture import street_things
from pipelines.datasets.scenes.street import draw_backdrop
from pipelines.datasets.scenes.traffic import road_things, walkers

SCENES_VERSION = 1
"""Bumped whenever the same seed gives other bytes."""

BOX_CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
MASK_IDS = {
    "Car": 1, "Bus": 1, "Truck": 1, "People": 2, "Motorcycle": 3, "Curve": 4, "Car Stop": 5,
    "Guardrail": 6, "Color Cone": 7, "Bump": 8,
}  # fmt: skip
SMALLEST = 96


@dataclass(frozen=True)
class Scene:
    """One drawn scene: images H x W x 3 and H x W, mask H x W, boxes (class, x1, y1, x2, y2).

    Boxes are in pixels from 0, with x2 and y2 one past the last pixel.
    """

    name: str
    visible: Image
    infrared: Image
    mask: Image
    boxes: tuple[tuple[str, int, int, int, int], ...]


def draw_scene(seed: int, index: int, height: int, width: int) -> Scene:
    """Draw scene `index` of the dataset `seed`: odd ones at night, even ones by day.

    Raises InputError when a side is below 96 pixels.
    """
    if min(height, width) < SMALLEST:
        raise InputError(
            f"Scenes of {width}x{height} are too small to show anything; "
            f"choose a height and a width of at least {SMALLEST}."
        )
    rng, night = np.random.default_rng([seed, index]), index % 2 == 1
    canvas = Canvas(height, width, _camera(height, width, rng), night)
    draw_backdrop(canvas, rng)
    tasks = road_things(canvas, rng) + walkers(canvas, rng) + street_things(canvas, rng)
    for _, draw in sorted(tasks, key=lambda task: -task[0]):
        draw()
    name = f"{index:05d}{'N' if night else 'D'}"
    visible, infrared = canvas.visible(rng), canvas.infrared(rng)
    return Scene(name, visible, infrared, _mask(canvas), _boxes(canvas))


def _camera(height: int, width: int, rng: Rng) -> Camera:
    return Camera(
        centre=width * float(rng.uniform(0.85, 1.15)),
        horizon=2 * height * float(rng.uniform(0.34, 0.42)),
        focal=1.75 * width,
        height=float(rng.uniform(2.2, 3.0)),
        bend=float(rng.uniform(-0.004, 0.004)),
    )


def _mask(canvas: Canvas) -> Image:
    ids = np.array([MASK_IDS.get(name, 0) for name in canvas.classes], np.uint8)
    return np.ascontiguousarray(ids[canvas.things[::2, ::2]])


def _boxes(canvas: Canvas) -> tuple[tuple[str, int, int, int, int], ...]:
    """Return the boxes of all things of which enough is seen: 30 % and 12 pixels."""
    small, boxes = canvas.things[::2, ::2], []
    seen = np.bincount(canvas.things.ravel(), minlength=len(canvas.classes))
    for thing, name in enumerate(canvas.classes):
        if name not in BOX_CLASSES or seen[thing] * 10 < canvas.areas[thing] * 3:
            continue
        rows, columns = np.nonzero(small == thing)
        if len(rows) >= 12:
            x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            boxes.append((name, int(x1), int(y1), int(x2), int(y2)))
    return tuple(boxes)


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
