"""The street of a scene: sky, ground, kerbs, markings, houses and trees."""

from __future__ import annotations

import numpy as np

from pipelines.datasets.scenes.canvas import Canvas, Color, Rng, near, oval, rectangle, tone

ROAD, WALK = 5.0, 8.5
"""Half widths of the road and of the road with its pavements, in metres."""


def draw_backdrop(canvas: Canvas, rng: Rng) -> None:
    """Draw everything that stands still and carries no label."""
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
        strip(canvas, -0.07, 0.07, float(z), float(z) + 2.2, (190, 190, 185), warm)
    _draw_rows(canvas, rng, warm)
    _grain(canvas, rng)
    canvas.freeze()


def strip(
    canvas: Canvas, left: float, right: float, z0: float, z1: float, color: Color, heat: int | None
) -> None:
    """Paint a strip of ground; it is cut into pieces so that it follows the bend."""
    steps = np.geomspace(z0, z1, 12)
    project = canvas.camera.project
    points = [project(left, 0, float(z)) for z in steps]
    points += [project(right, 0, float(z)) for z in steps[::-1]]
    canvas.paint(points, color, heat)


def _ground(canvas: Canvas, half: float, color: Color, heat: int) -> None:
    strip(canvas, -half, half, 1.5, 90.0, color, heat)


def _edge(canvas: Canvas, x: float, width: float, color: Color, heat: int | None) -> None:
    strip(canvas, x - width, x + width, 2.0, 80.0, color, heat)


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
