"""What the embedded scenes are drawn with: a camera, and a canvas of colour, light and heat.

All pixels come from integer arithmetic and integer polygons, so that one seed gives the same
bytes on every machine. Everything is drawn at twice the size and then halved (antialiasing).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion.pairs import Image

Rng = np.random.Generator
Color = tuple[int, int, int]
Point = tuple[float, float]
Task = tuple[float, Callable[[], None]]
"""How far away a thing is, in metres, and what draws it: the farthest is drawn first."""
Ints = NDArray[np.int32]

ROUND = [(math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(16)]
"""Sixteen points of the unit circle, which stand for it in every oval and wheel."""


@dataclass(frozen=True)
class Camera:
    """A camera above a street; x is metres to the right, y up, z ahead along the bending road."""

    centre: float
    horizon: float
    focal: float
    height: float
    bend: float

    def scale(self, z: float) -> float:
        """Return the canvas pixels of one metre at distance `z`."""
        return self.focal / z

    def project(self, x: float, y: float, z: float) -> Point:
        """Return where the point (x, y, z) falls on the canvas."""
        s = self.focal / z
        return self.centre + s * (x + self.bend * z * z), self.horizon + s * (self.height - y)


class Canvas:
    """The planes of one scene, all at twice the scene's size.

    `albedo` is colour under white light, `light` how much light falls there, `glow` the light
    that is sent or mirrored to the camera, `heat` the infrared image, `things` whose pixel it is
    (0: nobody's). `plate` is the heat without things: what has the temperature of its
    surroundings is painted with it and so vanishes from the infrared image.
    """

    def __init__(self, height: int, width: int, camera: Camera, night: bool) -> None:
        self.size = (2 * height, 2 * width)
        self.camera = camera
        self.night = night
        self.albedo = np.zeros((*self.size, 3), np.uint8)
        self.glow = np.zeros((*self.size, 3), np.uint8)
        self.light = np.zeros(self.size, np.uint8)
        self.heat = np.zeros(self.size, np.uint8)
        self.plate = self.heat
        self.things = np.zeros(self.size, np.int32)
        self.classes = [""]
        self.areas = [0]
        self.current = 0

    def freeze(self) -> None:
        """Keep the heat drawn so far as the temperature of the surroundings."""
        self.plate = self.heat.copy()

    @contextmanager
    def thing(self, name: str) -> Iterator[None]:
        """Let what is painted inside belong to a new thing of the class `name`."""
        self.current = len(self.classes)
        self.classes.append(name)
        yield
        self.areas.append(int((self.things == self.current).sum()))
        self.current = 0

    def paint(
        self,
        points: Sequence[Point],
        color: Color,
        heat: int | None = None,
        glow: Color | None = None,
    ) -> None:
        """Fill a polygon; `heat` None means as warm as the surroundings, `glow` None no light."""
        found = self._inside(points)
        if found is None:
            return
        box, inside = found
        self.albedo[box][inside] = color
        self.glow[box][inside] = glow or (0, 0, 0)
        self.heat[box][inside] = self.plate[box][inside] if heat is None else min(max(heat, 0), 255)
        self.things[box][inside] = self.current

    def shade(self, points: Sequence[Point]) -> None:
        """Darken the colour inside a polygon: a shadow, which is nobody's and has no heat."""
        found = self._inside(points)
        if found is not None:
            box, inside = found
            self.albedo[box][inside] = self.albedo[box][inside] // 2

    def shine(self, points: Sequence[Point], amount: int) -> None:
        """Let `amount` more light fall inside a polygon; its edge is softened in `visible`."""
        found = self._inside(points)
        if found is not None:
            box, inside = found
            lit = self.light[box][inside].astype(np.int32) + amount
            self.light[box][inside] = np.minimum(lit, 255)

    def color_at(self, point: Point) -> Color:
        """Return the albedo at `point`, or mid gray outside the canvas."""
        x, y = round(point[0]), round(point[1])
        if not (0 <= y < self.size[0] and 0 <= x < self.size[1]):
            return (100, 100, 100)
        red, green, blue = (int(v) for v in self.albedo[y, x])
        return red, green, blue

    def _inside(
        self, points: Sequence[Point]
    ) -> tuple[tuple[slice, slice], NDArray[np.bool_]] | None:
        corners = np.rint(np.clip(np.asarray(points, np.float64), -9999, 9999)).astype(np.int32)
        left, top = np.maximum(corners.min(axis=0), 0)
        right, bottom = np.minimum(corners.max(axis=0) + 1, self.size[::-1])
        if left >= right or top >= bottom:
            return None
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32)], 1)
        return (slice(top, bottom), slice(left, right)), mask.astype(bool)

    def visible(self, rng: Rng) -> Image:
        """Return the visible image, H x W x 3: lit colour, glowing lights, glare and noise."""
        unit = self.size[0]
        light = box_blur(box_blur(self.light.astype(np.int32), unit // 16), unit // 24)
        glow = self.glow.astype(np.int32)
        image = self.albedo * light[..., None] // 255 + glow
        image += box_blur(box_blur(glow, unit // 20), unit // 28) * int(rng.integers(1, 5)) // 2
        image = box_blur(np.minimum(image, 255), int(rng.integers(0, 2)))
        return _noisy(halve(image), 10 if self.night else 7, rng)

    def infrared(self, rng: Rng) -> Image:
        """Return the infrared image, H x W: soft, noisy and often of low contrast."""
        image = halve(box_blur(self.heat.astype(np.int32), int(rng.integers(1, 3))))
        gain, middle = int(rng.integers(12, 17)), 30
        image = (image - middle) * gain // 16 + middle + int(rng.integers(-8, 13))
        return _noisy(image, 7, rng)


def box_blur(image: Ints, radius: int) -> Ints:
    """Return the mean over a (2 radius + 1) square, in integers, with edges repeated."""
    wide = 2 * radius + 1
    for _ in range(2) if radius else ():  # along the rows, then along the columns
        pad = [(radius + 1, radius)] + [(0, 0)] * (image.ndim - 1)
        total = np.cumsum(np.pad(image, pad, mode="edge"), axis=0, dtype=np.int32)
        image = ((total[wide:] - total[:-wide]) // wide).swapaxes(0, 1)
    return image


def halve(image: Ints) -> Ints:
    """Return the image at half its size, each pixel the mean of four."""
    total = image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]
    half: Ints = (total + 2) // 4
    return half


def oval(centre: Point, across: float, up: float) -> list[Point]:
    """Return an ellipse with the two radii as a polygon."""
    return [(centre[0] + c * across, centre[1] + s * up) for c, s in ROUND]


def rectangle(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return an upright rectangle as a polygon."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def tone(color: Color, percent: int) -> Color:
    """Return `color` brightened or darkened to `percent`."""
    red, green, blue = (min(255, v * percent // 100) for v in color)
    return red, green, blue


def near(color: Color, spread: int, rng: Rng) -> Color:
    """Return a colour that differs from `color` by at most `spread` in each channel."""
    shift = rng.integers(-spread, spread + 1, 3)
    red, green, blue = (int(min(255, max(0, v + d))) for v, d in zip(color, shift, strict=True))
    return red, green, blue


def _noisy(image: Ints, amount: int, rng: Rng) -> Image:
    shape = (2, *image.shape)
    noise = rng.integers(-amount, amount + 1, shape, dtype=np.int32).sum(axis=0)
    noisy: Image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return noisy


def limb(start: Point, end: Point, half: float) -> list[Point]:
    """Return a stroke from `start` to `end`, `half` wide to each side, as a polygon."""
    (a, b), (c, d) = start, end
    return [(a - half, b), (a + half, b), (c + half, d), (c - half, d)]
