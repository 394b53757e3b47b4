"""What stands on the street: lamps, signals, cones, curves, bumps, rails, stops and clutter."""

from __future__ import annotations

from functools import partial

import numpy as np

from pipelines.datasets.scenes.canvas import (
    Canvas,
    Color,
    Rng,
    Task,
    limb,
    near,
    oval,
    rectangle,
    tone,
)
from pipelines.datasets.scenes.street import ROAD, strip


def street_things(canvas: Canvas, rng: Rng) -> list[Task]:
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
    canvas.paint(limb((u, top), (u + reach, top - 0.15 * s), 0.08 * s), pole)
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
            strip(canvas, x - 0.13, x + 0.13, 3.0, float(rng.uniform(18, 35)), color, None)
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
