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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import yaml

from fusion.errors import InputError
from fusion.pairs import Image, write_png
from pipelines.drawing import (
    Camera,
    Canvas,
    Color,
    Point,
    Rng,
    Vehicle,
    draw_vehicle,
    near,
    oval,
    rectangle,
    tone,
)

SCENES_VERSION = 1
"""Bumped whenever the same seed gives other bytes."""

BOX_CLASSES = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
MASK_IDS = {
    "Car": 1, "Bus": 1, "Truck": 1, "People": 2, "Motorcycle": 3, "Curve": 4, "Car Stop": 5,
    "Guardrail": 6, "Color Cone": 7, "Bump": 8,
}  # fmt: skip
SMALLEST = 96
ROAD, WALK = 5.0, 8.5

Task = tuple[float, Callable[[], None]]


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
    _draw_backdrop(canvas, rng)
    tasks = _road_things(canvas, rng) + _walkers(canvas, rng) + _street_things(canvas, rng)
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


# --- the street ---------------------------------------------------------------------------------


def _draw_backdrop(canvas: Canvas, rng: Rng) -> None:
    night, (height, width) = canvas.night, canvas.size
    canvas.light[:] = int(rng.integers(20, 38)) if night else int(rng.integers(150, 226))
    horizon = round(canvas.camera.horizon)
    if night:  # our own headlights
        beam = (canvas.camera.centre, horizon + height / 6)
        canvas.shine(oval(beam, width * 0.42, height / 4), int(rng.integers(10, 40)))
    rows = np.arange(height, dtype=np.int32)[:, None]
    top = np.array((70, 90, 140) if night else (110, 155, 215), np.int32)
    low = np.array((110, 110, 120) if night else (215, 225, 235), np.int32)
    sky = top + (low - top) * np.minimum(rows, horizon) // horizon
    canvas.albedo[:] = sky[:, None, :]
    canvas.heat[:] = (4 if night else 12) + 8 * np.minimum(rows, horizon) // horizon
    warm = int(rng.integers(14, 30)) if night else int(rng.integers(32, 52))
    gray = int(rng.integers(80, 120))
    _ground(canvas, 60.0, (105, 115, 80), warm - 5)
    _ground(canvas, WALK, near((125, 122, 116), 10, rng), warm - 3)
    _ground(canvas, ROAD, (gray, gray, gray + 4), warm)
    for side in (-1, 1):
        _edge(canvas, side * (ROAD + 0.1), 0.15, (175, 172, 165), warm - 2)
    for z in np.arange(4, 60, 5.0):
        _strip(canvas, -0.07, 0.07, float(z), float(z) + 2.2, (190, 190, 185), warm)
    _draw_rows(canvas, rng, warm)
    _grain(canvas, rng)
    canvas.freeze()


def _strip(
    canvas: Canvas, left: float, right: float, z0: float, z1: float, color: Color, heat: int | None
) -> None:
    """Paint a strip of ground; it is cut into pieces so that it follows the bend."""
    steps = np.geomspace(z0, z1, 12)
    project = canvas.camera.project
    points = [project(left, 0, float(z)) for z in steps]
    points += [project(right, 0, float(z)) for z in steps[::-1]]
    canvas.paint(points, color, heat)


def _ground(canvas: Canvas, half: float, color: Color, heat: int) -> None:
    _strip(canvas, -half, half, 1.5, 90.0, color, heat)


def _edge(canvas: Canvas, x: float, width: float, color: Color, heat: int | None) -> None:
    _strip(canvas, x - width, x + width, 2.0, 80.0, color, heat)


def _grain(canvas: Canvas, rng: Rng) -> None:
    """Roughen colour and heat: patches of eight pixels and single pixels."""
    height, width = canvas.size
    coarse = rng.integers(-7, 8, (height // 8 + 1, width // 8 + 1), dtype=np.int32)
    patches = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)[:height, :width]
    fine = rng.integers(-9, 10, (height, width), dtype=np.int32) + patches
    canvas.albedo[:] = np.clip(canvas.albedo + fine[..., None], 0, 255)
    canvas.heat[:] = np.clip(canvas.heat + patches // 2, 0, 255)


def _draw_rows(canvas: Canvas, rng: Rng, warm: int) -> None:
    """Draw the houses and trees of both sides of the street, the far ones first."""
    for side in (-1, 1):
        z = 70.0
        while z > 6:
            depth = float(rng.uniform(6, 12))
            x = side * float(rng.uniform(9, 11))
            if rng.random() < 0.75:
                _draw_house(canvas, rng, x, (max(z - depth, 3.0), z - 0.5), warm)
            else:
                _draw_tree(canvas, rng, x * 0.95, z, warm)
            z -= depth
        for z in np.sort(rng.uniform(12, 50, int(rng.integers(1, 4))))[::-1]:
            _draw_tree(canvas, rng, side * float(rng.uniform(7.5, 8.8)), float(z), warm)


def _draw_house(canvas: Canvas, rng: Rng, x: float, z: tuple[float, float], warm: int) -> None:
    colors: list[Color] = [(165, 120, 100), (185, 170, 145), (140, 140, 145), (200, 190, 175)]
    color = near(colors[int(rng.integers(4))], 18, rng)
    heat, top = warm + int(rng.integers(-6, 10)), float(rng.uniform(5, 14))
    project, outer = canvas.camera.project, x * 2.2
    front = [project(x, 0, z[0]), project(x, top, z[0]), project(outer, top, z[0])]
    canvas.paint([*front, project(outer, 0, z[0])], tone(color, 90), heat)
    wall = [project(x, 0, z[0]), project(x, top, z[0]), project(x, top, z[1]), project(x, 0, z[1])]
    canvas.paint(wall, tone(color, 72), heat)
    for floor in np.arange(1.0, top - 1.6, 2.8):
        for at in np.arange(z[0] + 0.6, z[1] - 1.2, 2.2):
            _draw_window(canvas, rng, x, (float(floor), float(at)), heat)


def _draw_window(canvas: Canvas, rng: Rng, x: float, at: tuple[float, float], heat: int) -> None:
    floor, z = at
    lit = canvas.night and rng.random() < 0.12
    heated = heat + (int(rng.integers(20, 90)) if rng.random() < 0.12 else int(rng.integers(-4, 6)))
    corners = ((floor, z), (floor + 1.5, z), (floor + 1.5, z + 1.1), (floor, z + 1.1))
    glow: Color | None = near((120, 95, 55), 15, rng) if lit else None
    quad = [canvas.camera.project(x, h, depth) for h, depth in corners]
    canvas.paint(quad, near((70, 80, 95), 15, rng), heated, glow)


def _draw_tree(canvas: Canvas, rng: Rng, x: float, z: float, warm: int) -> None:
    s, (u, v) = canvas.camera.scale(z), canvas.camera.project(x, 0, z)
    high = float(rng.uniform(2.2, 4.5))
    trunk = rectangle(u - 0.13 * s, v - high * s, u + 0.13 * s, v)
    canvas.paint(trunk, (75, 60, 45), warm - 2)
    for _ in range(14):
        du, dv = rng.uniform(-1.4, 1.4), rng.uniform(-1.0, 1.4)
        color = near((60, 95, 50), 22, rng)
        leaf = oval((u + float(du) * s, v - (high + float(dv)) * s), 0.75 * s, 0.6 * s)
        canvas.paint(leaf, color, warm - 4 + int(rng.integers(-4, 5)))


# --- what stands and moves on it ----------------------------------------------------------------


def _road_things(canvas: Canvas, rng: Rng) -> list[Task]:
    tasks: list[Task] = []
    for side in (-1, 1):
        z = float(rng.uniform(8, 14))
        while z < 30:
            if rng.random() < 0.45:
                tasks += _vehicle(canvas, rng, side * 3.9, z, _kind(rng), rng.random() < 0.38)
            z += float(rng.uniform(7, 12))
        if rng.random() < 0.6:
            z = float(rng.uniform(9, 26))
            tasks += _vehicle(canvas, rng, side * 1.6, z, _kind(rng), rng.random() < 0.85)
    for _ in range(int(rng.integers(0, 3))):
        x, z = float(rng.uniform(-4.5, 4.5)), float(rng.uniform(8, 18))
        tasks.append((z, partial(_draw_motorcycle, canvas, rng, x, z)))
    return tasks


def _kind(rng: Rng) -> str:
    return ("Car", "Car", "Car", "Bus", "Truck")[int(rng.integers(5))]


def _vehicle(canvas: Canvas, rng: Rng, x: float, z: float, name: str, running: bool) -> list[Task]:
    paints: list[Color] = [(200, 200, 205), (170, 40, 35), (45, 75, 140), (215, 180, 60)]
    color = near(paints[int(rng.integers(4))], 25, rng)
    heading = "toward" if x < 0 else "away"
    if rng.random() < 0.12:
        heading = ("left", "right")[int(rng.integers(2))]
    lights = running and rng.random() < (0.3 if canvas.night else 0.1)
    vehicle = Vehicle(name, x, z, heading, running, lights, color)
    return [(z + 1, partial(_draw_in_traffic, canvas, rng, vehicle))]


def _draw_in_traffic(canvas: Canvas, rng: Rng, car: Vehicle) -> None:
    """Draw a vehicle; running ones are often dark or camouflaged, parked ones stand in light."""
    warm = int(rng.integers(140, 210)) if canvas.night else int(rng.integers(110, 170))
    spot, s = canvas.camera.project(car.x, 0.8, car.z), canvas.camera.scale(car.z)
    if car.running and rng.random() < (0.85 if canvas.night else 0.65):
        behind = canvas.color_at(spot)
        if canvas.night or max(behind) > 150:
            behind = (60, 60, 64) if canvas.night else (105, 105, 108)
        car = replace(car, color=near(behind, 14, rng))
    elif canvas.night and not car.running:
        canvas.shine(oval(spot, 2.6 * s, 2.0 * s), int(rng.integers(70, 130)))
    draw_vehicle(canvas, car, warm)


def _body_heat(canvas: Canvas, rng: Rng) -> int:
    return int(rng.integers(150, 235) if canvas.night else rng.integers(185, 246))


def _draw_motorcycle(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    s, (u, v) = canvas.camera.scale(z), canvas.camera.project(x, 0, z)
    running, turn = rng.random() < 0.75, 1 if rng.random() < 0.5 else -1
    hot = _body_heat(canvas, rng) if running else None
    half = 0.62 * s * float(rng.uniform(0.45, 1.0))
    behind = canvas.color_at((u, v - 0.5 * s))
    if not running:
        color = near((170, 60, 50), 40, rng)
    elif canvas.night or rng.random() < 0.3:
        color = near((55, 55, 60), 20, rng)
    else:
        color = near(behind, 14, rng)
    tyre = tone(color, 70) if running else (28, 28, 30)
    canvas.shade(oval((u, v), half * 1.5, 0.12 * s))
    with canvas.thing("Motorcycle"):
        for way in (-1, 1):
            wheel = (u + way * half, v - 0.32 * s)
            canvas.paint(oval(wheel, 0.3 * s * half / (0.62 * s), 0.32 * s), tyre,
                         hot and hot * 7 // 8)  # fmt: skip
        frame = [(u - half * 1.1, v - 0.8 * s), (u + turn * half * 0.2, v - 0.95 * s),
                 (u + half * 1.1, v - 0.8 * s), (u + half * 0.5, v - 0.3 * s),
                 (u - half * 0.5, v - 0.3 * s)]  # fmt: skip
        canvas.paint(frame, color, hot and hot * 7 // 8)
        canvas.paint(oval((u, v - 0.42 * s), half * 0.5, 0.2 * s), tyre, hot)
        fork = (u + turn * half, v - 0.3 * s)
        handle = (u + turn * half * 0.6, v - 1.12 * s)
        canvas.paint(_limb(fork, handle, 0.06 * s), tyre, hot and hot // 2)
    if rng.random() < 0.5:
        _draw_person(canvas, rng, x, z, lift=0.35)


def _walkers(canvas: Canvas, rng: Rng) -> list[Task]:
    tasks: list[Task] = []
    for _ in range(int(rng.integers(1, 6))):
        z = float(rng.uniform(7, 21))
        x = float(rng.uniform(5.2, 8.0)) * (1 if rng.random() < 0.5 else -1)
        if rng.random() < 0.45:
            x = float(rng.uniform(-4.5, 4.5))
        tasks.append((z, partial(_draw_person, canvas, rng, x, z)))
    return tasks


def _limb(start: Point, end: Point, half: float) -> list[Point]:
    """Return a stroke from `start` to `end`, `half` wide to each side, as a polygon."""
    (a, b), (c, d) = start, end
    return [(a - half, b), (a + half, b), (c + half, d), (c - half, d)]


def _coat(rng: Rng) -> Color:
    coats: list[Color] = [(190, 45, 45), (50, 80, 170), (205, 170, 50), (200, 200, 205)]
    return coats[int(rng.integers(4))]


def _draw_person(canvas: Canvas, rng: Rng, x: float, z: float, lift: float = 0.0) -> None:
    tall = float(rng.uniform(1.55, 1.85))
    s, (u, v) = canvas.camera.scale(z) * tall, canvas.camera.project(x, lift, z)
    stride = float(rng.uniform(0.02, 0.14))
    behind = canvas.color_at((u, v - 0.55 * s))
    if canvas.night and max(behind) > 110:
        behind = (95, 95, 100)
    hidden = rng.random() < (0.8 if canvas.night else 0.5)
    # By day the street gets as warm as a body: whoever is not camouflaged often has no contrast
    # in infrared (thermal crossover).
    crossed = not hidden and not canvas.night and rng.random() < 0.75
    hot = None if crossed else _body_heat(canvas, rng)
    coat = near(behind if hidden else _coat(rng), 12 if hidden else 25, rng)
    legs = near(behind if hidden else (60, 62, 75), 12 if hidden else 30, rng)
    skin = near(behind, 15, rng) if hidden else near((190, 145, 120), 25, rng)
    if not lift:
        canvas.shade(oval((u, v), 0.16 * s, 0.04 * s))
    with canvas.thing("People"):
        for way in (-1, 1):
            foot = (u + way * stride * s, v - (0.0 if way > 0 else 0.02 * s))
            canvas.paint(_limb((u, v - 0.48 * s), foot, 0.05 * s), legs, hot and hot * 13 // 16)
            hand = (u + way * (0.11 + stride / 2) * s, v - 0.45 * s)
            shoulder = (u + way * 0.1 * s, v - 0.8 * s)
            canvas.paint(_limb(shoulder, hand, 0.03 * s), coat, hot and hot * 13 // 16)
        torso = [(u - 0.12 * s, v - 0.82 * s), (u + 0.12 * s, v - 0.82 * s),
                 (u + 0.09 * s, v - 0.44 * s), (u - 0.09 * s, v - 0.44 * s)]  # fmt: skip
        canvas.paint(torso, coat, hot and hot * 14 // 16)
        canvas.paint(oval((u, v - 0.91 * s), 0.06 * s, 0.085 * s), skin, hot)


def _street_things(canvas: Canvas, rng: Rng) -> list[Task]:
    """Return what is as warm as its surroundings, and the clutter that is nothing at all."""
    tasks: list[Task] = []
    for _ in range(int(rng.integers(1, 4))):
        x = (ROAD + 0.6) * (1 if rng.random() < 0.5 else -1)
        z, draw = float(rng.uniform(9, 20)), (_draw_lamp, _draw_signal)[int(rng.random() < 0.4)]
        tasks.append((z, partial(draw, canvas, rng, x, z)))
    for _ in range(int(rng.integers(0, 5))):
        x, z = float(rng.uniform(-5, 5)), float(rng.uniform(6, 16))
        tasks.append((z, partial(_draw_cone, canvas, rng, x, z)))
    for _ in range(int(rng.integers(2, 6))):
        x, z = float(rng.uniform(5.2, 9)), float(rng.uniform(8, 30))
        x *= 1 if rng.random() < 0.5 else -1
        tasks.append((z, partial(_draw_clutter, canvas, rng, x, z)))
    if rng.random() < 0.5:
        tasks.append((80.0, partial(_draw_curve, canvas, rng)))
    if rng.random() < 0.4:
        tasks.append((79.0, partial(_draw_bump, canvas, rng)))
    if rng.random() < 0.45:
        tasks.append((78.0, partial(_draw_guardrail, canvas, rng)))
    if rng.random() < 0.5:
        tasks.append((77.0, partial(_draw_stops, canvas, rng)))
    return tasks


def _mirror(canvas: Canvas, color: Color) -> Color | None:
    """Return what a reflecting surface sends back to the headlights at night."""
    return tone(color, 38) if canvas.night else None


def _draw_lamp(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    s, high = canvas.camera.scale(z), float(rng.uniform(3.4, 4.8))
    u, v = canvas.camera.project(x, 0, z)
    reach = -0.9 * s if x > 0 else 0.9 * s
    pole, top = (70, 72, 75), v - high * s
    canvas.paint(rectangle(u - 0.06 * s, top, u + 0.06 * s, v), pole)
    canvas.paint(_limb((u, top), (u + reach, top - 0.15 * s), 0.08 * s), pole)
    if rng.random() < 0.15:
        return  # a pole without a lamp: clutter
    warm: Color = ((255, 240, 200), (255, 205, 120), (235, 245, 255))[int(rng.integers(3))]
    with canvas.thing("Lamp"):
        head = oval((u + reach, top), 0.55 * s, 0.26 * s)
        canvas.paint(head, near((235, 235, 225), 15, rng), None, warm if canvas.night else None)
    if canvas.night:
        canvas.shine(oval((u + reach, v), 4.5 * s, 1.3 * s), int(rng.integers(40, 90)))
        canvas.shine(oval((u + reach, v - s), 2.5 * s, 2.2 * s), 30)


def _draw_signal(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    s, high = canvas.camera.scale(z), float(rng.uniform(2.8, 3.8))
    u, v = canvas.camera.project(x, 0, z)
    canvas.paint(rectangle(u - 0.05 * s, v - high * s, u + 0.05 * s, v), (60, 62, 65))
    color: Color = ((255, 50, 40), (60, 240, 120), (255, 190, 50))[int(rng.integers(3))]
    with canvas.thing("Lamp"):
        box = rectangle(u - 0.26 * s, v - (high + 1.1) * s, u + 0.26 * s, v - high * s)
        canvas.paint(box, (40, 42, 40))
        spot = (u, v - (high + 0.55) * s)
        canvas.paint(oval(spot, 0.22 * s, 0.24 * s), color, None, color)


def _draw_cone(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    s, (u, v) = canvas.camera.scale(z) * 0.85, canvas.camera.project(x, 0, z)
    orange = near((235, 95, 30), 18, rng)
    with canvas.thing("Color Cone"):
        canvas.paint(rectangle(u - 0.3 * s, v - 0.08 * s, u + 0.3 * s, v), tone(orange, 70), None,
                     _mirror(canvas, tone(orange, 70)))  # fmt: skip
        body = [(u - 0.22 * s, v - 0.06 * s), (u - 0.05 * s, v - s), (u + 0.05 * s, v - s),
                (u + 0.22 * s, v - 0.06 * s)]  # fmt: skip
        canvas.paint(body, orange, None, _mirror(canvas, orange))
        band = [(u - 0.15 * s, v - 0.4 * s), (u - 0.1 * s, v - 0.65 * s),
                (u + 0.1 * s, v - 0.65 * s), (u + 0.15 * s, v - 0.4 * s)]  # fmt: skip
        canvas.paint(band, (235, 235, 235), None, _mirror(canvas, (255, 255, 255)))


def _draw_curve(canvas: Canvas, rng: Rng) -> None:
    """Draw the painted lines that follow the lane's bend."""
    color: Color = ((225, 190, 60), (235, 235, 230))[int(rng.integers(2))]
    with canvas.thing("Curve"):
        for x in (-ROAD + 0.5, ROAD - 0.5):
            _strip(canvas, x - 0.13, x + 0.13, 3.0, float(rng.uniform(18, 35)), color, None)
    if canvas.night:
        where = canvas.things == len(canvas.classes) - 1
        canvas.glow[where] = tone(color, 28)


def _draw_bump(canvas: Canvas, rng: Rng) -> None:
    z, wide = float(rng.uniform(6.5, 15)), ROAD * 0.8
    depth, pieces = float(rng.uniform(0.7, 1.1)), 10
    with canvas.thing("Bump"):
        for k in range(pieces):
            color: Color = (230, 190, 45) if k % 2 else (45, 45, 45)
            left, step = -wide + 2 * wide * k / pieces, 2 * wide / pieces
            quad = [canvas.camera.project(left + dx, y, z + dz) for dx, y, dz in
                    ((0, 0, 0), (step, 0, 0), (step, 0.1, depth), (0, 0.1, depth))]  # fmt: skip
            canvas.paint(quad, color, None, _mirror(canvas, color))


def _draw_guardrail(canvas: Canvas, rng: Rng) -> None:
    x = (ROAD + 0.25) * (1 if rng.random() < 0.5 else -1)
    near_end, far_end = float(rng.uniform(5, 10)), float(rng.uniform(18, 40))
    color: Color = ((215, 218, 222), (90, 130, 190))[int(rng.integers(2))]
    project, ends = canvas.camera.project, np.geomspace(near_end, far_end, 12)
    with canvas.thing("Guardrail"):
        for low, high in ((0.35, 0.55), (0.7, 0.95)):
            rail = [project(x, high, float(z)) for z in ends]
            rail += [project(x, low, float(z)) for z in ends[::-1]]
            canvas.paint(rail, color, None, _mirror(canvas, color))
        for z in np.arange(near_end, far_end, 2.0):
            (u, v), s = project(x, 0, float(z)), canvas.camera.scale(float(z))
            post = rectangle(u - 0.09 * s, v - 0.95 * s, u + 0.09 * s, v)
            canvas.paint(post, tone(color, 85), None, _mirror(canvas, tone(color, 85)))


def _draw_stops(canvas: Canvas, rng: Rng) -> None:
    """Draw car stops: low black and yellow bars that stop a wheel in front of the kerb."""
    side, z = (1 if rng.random() < 0.5 else -1), float(rng.uniform(6, 11))
    for k in range(int(rng.integers(2, 5))):
        with canvas.thing("Car Stop"):
            for part in range(4):
                color: Color = (225, 190, 50) if part % 2 else (50, 50, 50)
                (u, v), s = canvas.camera.project(side * 5.4, 0, z), canvas.camera.scale(z)
                left = u + (part - 2) * 0.42 * s
                bar = rectangle(left, v - 0.3 * s, left + 0.42 * s, v)
                canvas.paint(bar, color, None, _mirror(canvas, color))
        z += 2.4 + 0.1 * k


def _draw_clutter(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """Draw what is no class: bushes, bins, cold posters of people, warm vents, bare poles."""
    s, (u, v) = canvas.camera.scale(z), canvas.camera.project(x, 0, z)
    kind = int(rng.integers(5))
    if kind == 0:
        for _ in range(6):
            at = (u + float(rng.uniform(-0.6, 0.6)) * s, v - float(rng.uniform(0.2, 0.7)) * s)
            canvas.paint(oval(at, 0.45 * s, 0.35 * s), near((60, 100, 50), 20, rng))
    elif kind == 1:
        color: Color = ((190, 80, 40), (50, 90, 60), (90, 90, 95))[int(rng.integers(3))]
        canvas.paint(rectangle(u - 0.25 * s, v - 0.9 * s, u + 0.25 * s, v), near(color, 15, rng))
    elif kind == 2:
        canvas.paint(rectangle(u - 0.5 * s, v - 2.1 * s, u + 0.5 * s, v - 0.3 * s), (215, 210, 200))
        canvas.paint(oval((u, v - 1.65 * s), 0.13 * s, 0.17 * s), (180, 140, 120))
        canvas.paint(rectangle(u - 0.2 * s, v - 1.45 * s, u + 0.2 * s, v - 0.5 * s), (90, 60, 80))
    elif kind == 3:
        heat, up = int(rng.integers(90, 200)), float(rng.uniform(0.5, 2.5))
        wide, tall = (float(rng.uniform(0.2, 0.7)) * s for _ in range(2))
        vent = rectangle(u - wide, v - up * s - tall, u + wide, v - up * s)
        canvas.paint(vent, near((110, 110, 112), 15, rng), heat)
    else:
        canvas.paint(rectangle(u - 0.07 * s, v - 3.5 * s, u + 0.07 * s, v), (95, 95, 98))


# --- on disk ------------------------------------------------------------------------------------


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
