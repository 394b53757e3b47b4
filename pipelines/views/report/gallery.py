"""Strips of images as HTML: each picture an image with its boxes drawn over it, and a caption."""

from __future__ import annotations

import math

from pipelines.views.report.html import Html, tag
from pipelines.views.report.model import MarkKind, Picture, Strip, TaskReport
from pipelines.views.report.svg import How, rect

STYLES: dict[MarkKind, tuple[str, str, float, str | None]] = {
    "hit": ("right detection", "#00e5ff", 2.0, None),
    "false": ("false alarm", "#ff2d95", 2.0, None),
    "missed": ("object missed", "#ffd60a", 2.2, "5 4"),
    "found": ("object (ground truth)", "#ffffff", 1.4, None),
}
"""By kind: what it says in the legend, colour, width in pixels, dashes."""


ROW = 6
"""Pictures beside each other at most, on a screen that is wide enough."""


def gallery(part: TaskReport) -> list[Html]:
    """Return the strips of a task with how they were chosen and what the colours mean."""
    drawn = [mark.kind for strip in part.strips for p in strip.pictures for mark in p.marks]
    keys = [_key(kind) for kind in STYLES if kind in drawn]
    keys += [tag("li", _square(colour), name) for name, colour in part.legend]
    words = [tag("p", *" ".join(part.strip_notes), class_="caption")]
    return [*words, tag("ul", *keys, class_="legend plate"), *map(_strip, part.strips)]


def _strip(strip: Strip) -> Html:
    title = tag("h4", strip.name, tag("span", f" {strip.remark}"))
    number = len(strip.pictures)
    columns = math.ceil(number / math.ceil(number / ROW))  # rows of about equal length
    style = f"--columns: {columns}"
    pictures = tag("div", *map(_picture, strip.pictures), class_="strip", style=style)
    return tag("section", title, pictures, class_="example")


def _picture(picture: Picture) -> Html:
    words = [tag("b", picture.title), tag("span", picture.remark)]
    if not picture.uri:
        gone = tag("div", "The store no longer holds this image.", class_="gone")
        return tag("figure", gone, tag("figcaption", *words))
    width, height = picture.width, picture.height
    told = f"{picture.title}: {picture.remark}" if picture.remark else picture.title
    image = tag("image", href=picture.uri, width=width, height=height)
    marks = [_mark(mark.kind, mark.box, mark.text) for mark in picture.marks]
    box = f"0 0 {width} {height}"
    drawn = tag("svg", image, *marks, viewBox=box, role="img", aria_label=told)
    return tag("figure", drawn, tag("figcaption", *words))


def _mark(kind: MarkKind, box: tuple[float, float, float, float], told: str) -> Html:
    _, colour, thick, dash = STYLES[kind]
    x, y, width, height = box
    shape: How = {"fill": "none", "vector_effect": "non-scaling-stroke"}
    # A dark line beneath keeps a light one visible on a bright image.
    below = rect(
        x,
        y,
        width,
        height,
        stroke="#000000",
        stroke_opacity=0.55,
        stroke_width=thick + 1.6,
        **shape,
    )
    above = rect(
        x, y, width, height, stroke=colour, stroke_width=thick, stroke_dasharray=dash, **shape
    )
    return tag("g", tag("title", told), below, above)


def _key(kind: MarkKind) -> Html:
    name, colour, width, dash = STYLES[kind]
    stroke: How = {"stroke": colour, "stroke_width": width, "stroke_dasharray": dash}
    drawn = tag("svg", rect(2, 2, 20, 12, fill="none", **stroke), viewBox="0 0 24 16")
    return tag("li", tag("span", drawn, class_="swatch"), name)


def _square(colour: str) -> Html:
    drawn = tag("svg", rect(2, 1, 20, 14, fill=colour), viewBox="0 0 24 16")
    return tag("span", drawn, class_="swatch")
