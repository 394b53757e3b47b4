"""Vehicles: what they look like from tail to nose, and how one of them is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.datasets.scenes.canvas import ROUND, Camera, Canvas, Color, Point, oval, tone


@dataclass(frozen=True)
class Body:
    """A vehicle in metres: its outline from tail to nose as (length, height), and its parts.

    `glass` and `cargo` number the outline's edges that are windows or load; `windows` are the
    (from, to, low, high) rectangles of its side.
    """

    outline: tuple[Point, ...]
    glass: tuple[int, ...]
    cargo: tuple[int, ...]
    windows: tuple[tuple[float, float, float, float], ...]
    wheels: tuple[float, ...]
    wheel: float
    width: float


BODIES = {
    "Car": Body(
        ((0, 0.3), (0, 0.9), (0.4, 0.98), (1.0, 1.45), (2.5, 1.48), (3.2, 1),
         (4.1, 0.8), (4.2, 0.3)),
        (2, 4), (), ((0.9, 1.75, 1.0, 1.36), (1.85, 2.75, 1.0, 1.36)), (0.85, 3.35), 0.33, 1.8,
    ),
    "Bus": Body(
        ((0, 0.4), (0, 1.5), (0, 2.7), (0.2, 3.1), (8.8, 3.1), (9, 2.8), (9, 1.3), (9, 0.4)),
        (1, 5), (), tuple((0.4 + k, 1.2 + k, 1.5, 2.6) for k in range(8)), (2.0, 7.0), 0.5, 2.5,
    ),
    "Truck": Body(
        ((0, 0.8), (0, 3.0), (4.4, 3.0), (4.5, 2.3), (5.4, 2.3), (6.0, 1.4), (6.2, 0.5)),
        (4,), (0, 1, 2), ((4.8, 5.5, 1.4, 2.1),), (1.2, 5.2), 0.5, 2.4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """How one vehicle stands: where, which way (`away`, `toward`, `left`, `right`), and how."""

    name: str
    x: float
    z: float
    heading: str
    running: bool
    lights: bool
    color: Color

    @property
    def body(self) -> Body:
        """The vehicle's shape."""
        return BODIES[self.name]

    def place(self, camera: Camera, along: float, height: float, side: float) -> Point:
        """Return where the body's point falls; `side` runs over its width from 0 to 1."""
        body, length = self.body, self.body.outline[-1][0]
        if self.heading in ("left", "right"):
            step = along - length / 2 if self.heading == "right" else length / 2 - along
            return camera.project(self.x + step, height, self.z + side * body.width)
        ahead = along if self.heading == "away" else length - along
        return camera.project(self.x + (side - 0.5) * body.width, height, self.z + ahead)


def draw_vehicle(canvas: Canvas, car: Vehicle, warm: int) -> None:
    """Draw a vehicle; one that runs is warmer by `warm`, most at nose, wheels and exhaust."""
    camera, body, length = canvas.camera, car.body, car.body.outline[-1][0]
    across = car.heading in ("left", "right")
    corners = [car.place(camera, a, 0.02, s) for a, s in ((0, 0), (length, 0), (length, 1), (0, 1))]
    canvas.shade(corners)
    with canvas.thing(car.name):
        edges = list(range(len(body.outline) - 1))
        for k in reversed(edges) if car.heading == "away" else edges:
            _draw_edge(canvas, car, k, warm)
        side = 0.0 if across or car.x + camera.bend * car.z**2 > 0 else 1.0
        _draw_side(canvas, car, side, warm)
        _draw_ends(canvas, car, warm)


def _warmth(canvas: Canvas, car: Vehicle, point: Point, extra: int) -> int | None:
    """Return the surroundings' heat at `point` plus `extra`, or None for a cold vehicle."""
    if not car.running:
        return None
    x = min(max(round(point[0]), 0), canvas.size[1] - 1)
    y = min(max(round(point[1]), 0), canvas.size[0] - 1)
    return int(canvas.plate[y, x]) + extra


def _draw_edge(canvas: Canvas, car: Vehicle, k: int, warm: int) -> None:
    (a, low), (b, high) = car.body.outline[k], car.body.outline[k + 1]
    ends = ((a, low, 0), (b, high, 0), (b, high, 1), (a, low, 1))
    quad = [car.place(canvas.camera, *end) for end in ends]
    color = tone(car.color, 110 if abs(b - a) > abs(high - low) else 85)
    if k in car.body.cargo:
        color = tone((170, 168, 160), 100 if k else 80)
    if k in car.body.glass:
        color = (38, 48, 60)
    hot = {0: warm // 3, len(car.body.outline) - 3: warm, len(car.body.outline) - 2: warm}
    extra = warm // 10 if k in car.body.glass else hot.get(k, warm // 5)
    ground = car.place(canvas.camera, a, 0, 0.5)
    canvas.paint(quad, color, _warmth(canvas, car, ground, extra))


def _draw_side(canvas: Canvas, car: Vehicle, side: float, warm: int) -> None:
    body, camera = car.body, canvas.camera
    ground = car.place(camera, body.wheels[0], 0, side)
    shell = _warmth(canvas, car, ground, warm // 4)
    canvas.paint(
        [car.place(camera, a, h, side) for a, h in body.outline], tone(car.color, 75), shell
    )
    if body.cargo:
        last = body.outline[body.cargo[-1]][0]
        box = ((0, 0.8), (0, 3.0), (last, 3.0), (last, 0.8))
        canvas.paint([car.place(camera, a, h, side) for a, h in box], (128, 126, 120), shell)
    for start, end, low, high in body.windows:
        quad = ((start, low), (start, high), (end, high), (end, low))
        glass = _warmth(canvas, car, ground, warm // 10)
        canvas.paint([car.place(camera, a, h, side) for a, h in quad], (35, 45, 55), glass)
    for along in body.wheels:
        rim = [
            car.place(camera, along + body.wheel * c, body.wheel * (1 + s), side) for c, s in ROUND
        ]
        canvas.paint(rim, (28, 28, 30), _warmth(canvas, car, ground, warm * 3 // 4))


def _draw_ends(canvas: Canvas, car: Vehicle, warm: int) -> None:
    """Draw lamps, plate and exhaust of the end that the camera sees."""
    if car.heading in ("left", "right"):
        return
    front = car.heading == "toward"
    along = car.body.outline[-1][0] if front else 0.0
    low = 0.65 if car.name == "Car" else 0.9
    color: Color = (215, 215, 200) if front else (150, 25, 20)
    light: Color = (255, 245, 215) if front else (190, 25, 15)
    s = canvas.camera.scale(car.z)
    for side in (0.12, 0.88):
        spot = car.place(canvas.camera, along, low, side)
        heat = _warmth(canvas, car, spot, warm) if front else _warmth(canvas, car, spot, warm // 3)
        canvas.paint(oval(spot, 0.17 * s, 0.11 * s), color, heat, light if car.lights else None)
    if not front and car.running:
        pipe = car.place(canvas.camera, along, 0.35, 0.3)
        canvas.paint(oval(pipe, 0.2 * s, 0.14 * s), (30, 30, 30), _warmth(canvas, car, pipe, 150))
    if front and car.lights and canvas.night:
        canvas.shine(oval(canvas.camera.project(car.x, 0, car.z * 0.8), 2.2 * s, 0.5 * s), 90)
