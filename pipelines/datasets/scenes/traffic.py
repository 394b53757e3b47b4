"""What moves on the street: vehicles, motorcycles and people, warm in the infrared image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pipelines.datasets.scenes.canvas import (
    Canvas,
    Color,
    Rng,
    Task,
    limb,
    near,
    oval,
    tone,
)
from pipelines.datasets.scenes.vehicles import Vehicle, draw_vehicle


def road_things(canvas: Canvas, rng: Rng) -> list[Task]:
    """Return what draws the vehicles: parked in rows at the kerb, or driving."""
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
        canvas.paint(limb(fork, handle, 0.06 * s), tyre, hot and hot // 2)
    if rng.random() < 0.5:
        _draw_person(canvas, rng, x, z, lift=0.35)


def walkers(canvas: Canvas, rng: Rng) -> list[Task]:
    """Return what draws the people on the road and on its pavements."""
    tasks: list[Task] = []
    for _ in range(int(rng.integers(1, 6))):
        z = float(rng.uniform(7, 21))
        x = float(rng.uniform(5.2, 8.0)) * (1 if rng.random() < 0.5 else -1)
        if rng.random() < 0.45:
            x = float(rng.uniform(-4.5, 4.5))
        tasks.append((z, partial(_draw_person, canvas, rng, x, z)))
    return tasks


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
            canvas.paint(limb((u, v - 0.48 * s), foot, 0.05 * s), legs, hot and hot * 13 // 16)
            hand = (u + way * (0.11 + stride / 2) * s, v - 0.45 * s)
            shoulder = (u + way * 0.1 * s, v - 0.8 * s)
            canvas.paint(limb(shoulder, hand, 0.03 * s), coat, hot and hot * 13 // 16)
        torso = [(u - 0.12 * s, v - 0.82 * s), (u + 0.12 * s, v - 0.82 * s),
                 (u + 0.09 * s, v - 0.44 * s), (u - 0.09 * s, v - 0.44 * s)]  # fmt: skip
        canvas.paint(torso, coat, hot and hot * 14 // 16)
        canvas.paint(oval((u, v - 0.91 * s), 0.06 * s, 0.085 * s), skin, hot)
