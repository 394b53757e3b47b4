"""Pictures of a detector's work: images with objects and detections drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from detection.ap import Detection
from detection.datasets import Box
from detection.matching import match
from fusion.pairs import Image
from fusion.palette import FALSE_ALARM, FOUND, HIT, MISSED

WIDE, KEY = 960, 40
"""The least width of a picture, so that captions can be read, and the height of its legend."""
GROUND, PLATE, EDGE = "#303030", (0, 0, 0, 180), (0, 0, 0, 140)
"""The legend's ground, what is behind a caption, and what is around a line."""
DASH = 9


@dataclass(frozen=True)
class Style:
    """How a kind of box is drawn: its line's width in pixels."""

    name: str
    colour: str
    width: int
    dashed: bool = False


HITS, ALARMS = Style("hit", HIT, 3), Style("false alarm", FALSE_ALARM, 3)
OBJECTS, MISSES = Style("object, found", FOUND, 1), Style("object, missed", MISSED, 3, dashed=True)


def draw_detections(
    image: Image,
    ground_truth: Sequence[Box],
    detections: Sequence[Detection],
    classes: Sequence[str],
    confidence: float = 0.25,
) -> Image:
    """Return a picture of `image` (gray or RGB) with its objects and detections; RGB, uint8.

    Detections with a score of at least `confidence` are hits when they overlap an object of their
    class that no surer detection has taken by IoU >= 0.5, else false alarms; objects are thin
    when found, dashed when missed. A legend tells the colours, which are those of every picture.
    """
    shown = sorted(
        (d for d in detections if d["score"] >= confidence), key=lambda d: -float(d["score"])
    )
    taken = match(ground_truth, shown)
    zoom = max(1.0, WIDE / image.shape[1])
    picture = _enlarged(image, zoom)
    pen = ImageDraw.Draw(picture, "RGBA")
    for index, box in enumerate(ground_truth):
        missed = index not in taken
        place = (box.x1, box.y1, box.x2, box.y2)
        _draw(pen, place, zoom, MISSES if missed else OBJECTS, classes[box.label] * missed)
    for item, hit in zip(shown, taken, strict=True):
        x, y, width, height = item["bbox"]
        words = f"{classes[item['category_id'] - 1]} {item['score']:.2f}"
        _draw(pen, (x, y, x + width, y + height), zoom, HITS if hit is not None else ALARMS, words)
    _draw_key(pen)
    return np.asarray(picture, dtype=np.uint8)


def _enlarged(image: Image, zoom: float) -> Pillow.Image:
    """Return an RGB picture with room for the legend above it."""
    height, width = (round(side * zoom) for side in image.shape[:2])
    picture = Pillow.new("RGB", (width, height + KEY), GROUND)
    large = (
        Pillow.fromarray(image).convert("RGB").resize((width, height), Pillow.Resampling.BILINEAR)
    )
    picture.paste(large, (0, KEY))
    return picture


Corners = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def _draw(pen: ImageDraw.ImageDraw, place: Corners, zoom: float, style: Style, words: str) -> None:
    """Draw a box, with a caption above it, or below one that is missed."""
    left, top, right, bottom = (zoom * side for side in place)
    corners = left, top + KEY, right, bottom + KEY
    _outline(pen, corners, style)
    if words:
        _caption(pen, left, corners[3] if style is MISSES else corners[1], words, style)


def _outline(pen: ImageDraw.ImageDraw, corners: Corners, style: Style) -> None:
    left, top, right, bottom = corners
    # A dark line beneath keeps a light one visible on a bright image.
    around = (left - 1, top - 1, right + 1, bottom + 1)
    pen.rectangle(around, outline=EDGE, width=style.width + 2)
    if not style.dashed:
        pen.rectangle(corners, outline=style.colour, width=style.width)
        return
    thick = style.width - 1
    for x in np.arange(left, right, 2 * DASH):
        for y in (top, bottom - thick):
            pen.rectangle((x, y, min(x + DASH, right), y + thick), fill=style.colour)
    for y in np.arange(top, bottom, 2 * DASH):
        for x in (left, right - thick):
            pen.rectangle((x, y, x + thick, min(y + DASH, bottom)), fill=style.colour)


def _caption(pen: ImageDraw.ImageDraw, x: float, y: float, words: str, style: Style) -> None:
    """Write words above a height, or below it what is missed, within the picture."""
    font = ImageFont.load_default(15)
    _, _, wide, high = pen.textbbox((0, 0), words, font=font)
    width, height = pen.im.size
    x = max(0.0, min(x, width - wide - 6))
    y = min(y, height - high - 6) if style is MISSES else max(y - high - 6, float(KEY))
    pen.rectangle((x, y, x + wide + 6, y + high + 5), fill=PLATE)
    pen.text((x + 3, y + 1), words, fill=style.colour, font=font)


def _draw_key(pen: ImageDraw.ImageDraw) -> None:
    font, x = ImageFont.load_default(16), 16.0
    for style in (HITS, ALARMS, OBJECTS, MISSES):
        _outline(pen, (x, 12, x + 28, KEY - 12), style)
        pen.text((x + 38, KEY / 2), style.name, fill="#ffffff", font=font, anchor="lm")
        x += 38 + pen.textlength(style.name, font=font) + 36
