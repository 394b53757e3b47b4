"""The embedded dataset: drawn infrared/visible street scenes with boxes and masks.

Each modality alone misses something: people and running engines glow in the infrared image and
drown in the dark or camouflaged visible one; lamps, cones, lane curves, car stops, guardrails,
bumps and parked cars show in the visible image and have the temperature of their surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion.errors import InputError
from fusion.pairs import Image
from pipelines.datasets.scenes.canvas import Camera, Canvas, Rng
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
    return Scene(name, visible, infrared, seen_mask(canvas), seen_boxes(canvas))


def _camera(height: int, width: int, rng: Rng) -> Camera:
    return Camera(
        centre=width * float(rng.uniform(0.85, 1.15)),
        horizon=2 * height * float(rng.uniform(0.34, 0.42)),
        focal=1.75 * width,
        height=float(rng.uniform(2.2, 3.0)),
        bend=float(rng.uniform(-0.004, 0.004)),
    )


def seen_mask(canvas: Canvas) -> Image:
    """Return the class ids of what is seen, H x W."""
    ids = np.array([MASK_IDS.get(name, 0) for name in canvas.classes], np.uint8)
    return np.ascontiguousarray(ids[canvas.things[::2, ::2]])


def seen_boxes(canvas: Canvas) -> tuple[tuple[str, int, int, int, int], ...]:
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
