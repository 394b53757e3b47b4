"""Which scene lies in which split or fold, and how the classes are spread over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from fusion.palette import METHODS
from pipelines.views.charts.markup import mark_of
from pipelines.views.charts.parts import (
    FILL,
    MARK,
    Room,
    chart,
    data,
    label_width,
    shortened,
    text,
    titles,
)
from pipelines.views.charts.theme import QUIET, SMALL

WIDTH, BAR, LINE, HEAD, BETWEEN, LETTERS = 420.0, 13.0, 18.0, 26.0, 34.0, 14
LEGIBLE = 26.0
"""How wide a bar must be to hold its share in percent."""
IMAGES = "images"

X, Y = alt.X("x:Q", scale=None), alt.Y("y:Q", scale=None)
X2, Y2 = alt.X2("x2:Q"), alt.Y2("y2:Q")


def split_chart(
    scenes: Sequence[Sequence[str]],
    parts: Mapping[str, Sequence[str]],
    shares: Mapping[str, Mapping[str, float]],
    title: str,
) -> alt.LayerChart:
    """Draw every scene at its place in the data, as wide as its images, in the line of its part.

    Beneath, how the labels of each class are shared by the parts, first how the images are.
    `parts` are splits or folds with their names, `shares` by part and class.
    """
    colours = {part: METHODS[n % len(METHODS)] for n, part in enumerate(parts)}
    images = sum(map(len, parts.values()))
    given = {part: len(names) / max(images, 1) for part, names in parts.items()}
    classes = sorted({label for of in shares.values() for label in of})
    table = {IMAGES: given} | {c: {p: shares[p].get(c, 0.0) for p in parts} for c in classes}
    room = Room(label_width([*parts, *table], LETTERS, SMALL), HEAD, 8, 6)
    width, below = WIDTH - room.left - room.right, LINE * len(parts) + BETWEEN
    layers = [
        *titles(room, WIDTH, shortened(title, 46), f"{len(scenes)} scenes, {images} images"),
        _rects(_scenes(scenes, parts, colours, width)),
        *_names(list(parts), room, 0.0),
        text(-room.left, below - 11, "shares of the labels by class, in percent", fontWeight=600),
        _rects(rows := _stacks(table, colours, width, below)),
        _numbers(rows),
        *_names(list(table), room, below),
    ]
    height = room.top + below + LINE * len(table) + room.bottom
    told = ", ".join(f"{part} {len(names)} images" for part, names in parts.items())
    return chart(layers, WIDTH, height, room, f"{title}: {told}")


def _scenes(
    scenes: Sequence[Sequence[str]],
    parts: Mapping[str, Sequence[str]],
    colours: Mapping[str, str],
    width: float,
) -> list[dict[str, object]]:
    place = {name: n for n, names in enumerate(parts.values()) for name in names}
    labels, unit = list(parts), width / max(1, sum(map(len, scenes)))
    found: list[dict[str, object]] = []
    start = 0
    for scene in scenes:
        line = place.get(scene[0])
        if line is not None:
            part = labels[line]
            words = f"scene of {scene[0]}, {len(scene)} images"
            # A hair between scenes, where they are wide enough to bear it.
            end = (start + len(scene)) * unit - min(0.4, 0.15 * unit)
            found.append(_rect(part, words, colours[part], start * unit, end, LINE * line))
        start += len(scene)
    return found


def _stacks(
    table: Mapping[str, Mapping[str, float]],
    colours: Mapping[str, str],
    width: float,
    top: float,
) -> list[dict[str, object]]:
    found = []
    for line, (label, of) in enumerate(table.items()):
        start = 0.0
        for part, share in of.items():
            end, percent = start + share * width, f"{100 * share:.0f}"
            one = _rect(
                part, f"{percent} % of {label}", colours[part], start, end, top + LINE * line
            )
            legible = end - start >= LEGIBLE
            found.append({**one, "number": percent if legible else "", "middle": (start + end) / 2})
            start = end
    return found


def _rect(
    part: str, words: str, colour: str, start: float, end: float, top: float
) -> dict[str, object]:
    ends = {"x": start, "x2": end, "y": top + (LINE - BAR) / 2, "y2": top + (LINE + BAR) / 2}
    return {"mark": mark_of(part, words), "color": colour, **ends}


def _rects(rows: Sequence[dict[str, object]]) -> alt.Chart:
    drawn: alt.Chart = alt.Chart(data(rows)).mark_rect(opacity=0.85)
    return drawn.encode(x=X, x2=X2, y=Y, y2=Y2, fill=FILL, description=MARK)


def _numbers(rows: Sequence[dict[str, object]]) -> alt.Chart:
    lines = [{**one, "y": float(str(one["y"])) + BAR / 2} for one in rows]
    drawn: alt.Chart = alt.Chart(data(lines)).mark_text(
        align="center", fill="#ffffff", fontSize=SMALL, fontWeight=600
    )
    return drawn.encode(x=alt.X("middle:Q", scale=None), y=Y, text=alt.Text("number:N"))


def _names(labels: Sequence[str], room: Room, top: float) -> list[alt.Chart]:
    return [
        text(
            -room.left, top + LINE * (n + 0.5), shortened(label, LETTERS),
            fontSize=SMALL, fill=QUIET,
        )
        for n, label in enumerate(labels)
    ]  # fmt: skip
